package testenv

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// A Member is a real LiveStore client, see examples/todo/scripts/member.mjs.
type Member struct {
	t   testing.TB
	in  io.WriteCloser
	out *bufio.Reader
	// End closes the client and waits for it.
	End func()
}

// A MemberState is what it says of itself.
type MemberState struct {
	Confirmed, Local, Pending int
	Connected                 bool
	Todos                     []string
	Ended                     string // why its store was shut down, when it was asked to wait for that
}

// OpenMember starts a client with the options of member.mjs, and ends it with the test.
func OpenMember(t testing.TB, options map[string]any) (*Member, MemberState) {
	t.Helper()
	app := Example(t, "todo")
	arg, err := json.Marshal(options)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "scripts/member.mjs", string(arg))
	cmd.Dir = app
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	m := &Member{t: t, in: in, out: bufio.NewReader(out)}
	m.End = sync.OnceFunc(func() {
		_ = in.Close() // it may have ended
		_ = cmd.Wait() // it may have been ended with the test
		if t.Failed() {
			t.Logf("%v: %s", options, stderr.String())
		}
	})
	t.Cleanup(m.End)
	return m, m.read()
}

func (m *Member) read() MemberState {
	m.t.Helper()
	line, err := m.out.ReadBytes('\n')
	var s MemberState
	if err == nil {
		err = json.Unmarshal(line, &s)
	}
	if err != nil {
		m.t.Fatalf("the client said %q: %v", line, err)
	}
	return s
}

// Do sends a command and returns the answer.
func (m *Member) Do(command string) MemberState {
	m.t.Helper()
	if _, err := io.WriteString(m.in, command+"\n"); err != nil {
		m.t.Fatal(err)
	}
	return m.read()
}

// Until asks until it holds, for 40 seconds at most.
func (m *Member) Until(what string, holds func(MemberState) bool) MemberState {
	m.t.Helper()
	for deadline := time.Now().Add(40 * time.Second); ; pause(m.t) {
		s := m.Do("{}")
		if holds(s) {
			return s
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("%s: %+v", what, s)
		}
	}
}

// pause is between two looks at a condition.
func pause(t testing.TB) {
	select {
	case <-time.After(20 * time.Millisecond):
	case <-t.Context().Done():
	}
}
