//go:build unix

package testenv

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A Postgres is a server of the test's own, which may be killed.
type Postgres struct {
	URL string // of a database that is empty at first

	t    testing.TB
	dir  string // its data and its log
	bin  string
	port string
	as   *syscall.Credential // nil for the user of the test
	cmd  *exec.Cmd

	ended <-chan struct{} // closed when it has; nil before a start and after a kill
}

// NewPostgres makes a server from the installed programs and starts it; the test's end removes it. It skips the test
// where there are none.
func NewPostgres(t testing.TB) *Postgres {
	t.Helper()
	p := &Postgres{t: t, bin: postgresPrograms()}
	if p.bin == "" {
		Need(t, "initdb", "install the Postgres server (postgresql on Debian)")
	}
	dir, err := os.MkdirTemp("", "headgate-postgres-") // its parents are open to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	p.dir = dir
	if os.Geteuid() == 0 { // Postgres does not run as root
		p.as = unprivileged(t)
		if err := os.Chown(dir, int(p.as.Uid), int(p.as.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := p.command("initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync", "data").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.port = strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	p.URL = "postgres://postgres@127.0.0.1:" + p.port + "/postgres"
	p.Start()
	return p
}

// postgresPrograms is the directory of the newest installed server's programs, or "".
func postgresPrograms() string {
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil { // the others may have no link
			return filepath.Dir(path)
		}
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // Debian has them in no PATH
	if err != nil || len(found) == 0 {
		return ""
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path)))) // 0 is the oldest
		return n
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) }))
}

// unprivileged is a user that is not root.
func unprivileged(t testing.TB) *syscall.Credential {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	t.Fatal("there is neither a user postgres nor nobody, and Postgres does not run as root")
	return nil
}

func (p *Postgres) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.bin, program), args...)
	cmd.Dir = p.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: p.as}
	return cmd
}

// Start starts the server, and returns when it has recovered and takes connections.
func (p *Postgres) Start() {
	p.t.Helper()
	end := time.Now().Add(time.Minute)
	for p.launch(); p.command("pg_isready", "--quiet", "--host=127.0.0.1", "--port="+p.port).Run() != nil; <-time.After(50 * time.Millisecond) {
		select {
		case <-p.ended: // a killed one's child still has the memory that they shared
			p.launch()
		default:
		}
		if time.Now().After(end) {
			text, _ := os.ReadFile(filepath.Join(p.dir, "log")) // there may be none
			p.t.Fatalf("Postgres does not start:\n%s", text)
		}
	}
}

func (p *Postgres) launch() {
	p.t.Helper()
	log, err := os.OpenFile(filepath.Join(p.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	if err != nil {
		p.t.Fatal(err)
	}
	defer log.Close()
	// A process that is killed loses nothing that was written to files.
	p.cmd = p.command("postgres", "-D", "data", "-p", p.port, "-h", "127.0.0.1", "-k", "", "-F")
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	ended := make(chan struct{})
	p.ended = ended
	go func(cmd *exec.Cmd) {
		_ = cmd.Wait() // the log tells why it ended
		close(ended)
	}(p.cmd)
}

// Kill ends the server and its children with SIGKILL. It does nothing where it does not run.
func (p *Postgres) Kill() {
	if p.ended == nil {
		return
	}
	pid := p.cmd.Process.Pid
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid)) // without /proc they notice its end
	_ = syscall.Kill(pid, syscall.SIGKILL)                                         // it may have ended
	for _, child := range strings.Fields(string(children)) {
		if n, err := strconv.Atoi(child); err == nil {
			_ = syscall.Kill(n, syscall.SIGKILL)
		}
	}
	<-p.ended
	p.ended = nil
}
