package openlog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"sync"
	"time"
	"unicode"

	"headgate/internal/errs"
	"headgate/internal/livestore"
)

const (
	// authTime is how long the command may take.
	authTime = 30 * time.Second
	// authOutput is how much of its output is read.
	authOutput = 64 << 10
	// authMargin is how long before its expiry a payload is no longer used; a tenth of its life if that is less.
	authMargin = 30 * time.Second
)

// StoreVariable is the environment variable that holds the store's id for an auth command.
const StoreVariable = "HEADGATE_STORE"

// An Auth gets the sync payload for stores: what a sync backend wants to know about who asks, usually
// {"authToken":"…"}. It is safe for several goroutines. Its errors quote no payload.
type Auth struct {
	static  json.RawMessage
	command []string
	jwt     *JWT
	dir     string
	where   string
	now     func() time.Time

	mu     sync.Mutex
	stores map[livestore.StoreID]*authEntry
}

// An authEntry is the payload of one store. Its turn is held by who gets it, so that a command is asked once.
type authEntry struct {
	turn    chan struct{}
	payload json.RawMessage
	until   time.Time // zero: for good
}

// StaticAuth is one payload for every store.
func StaticAuth(payload json.RawMessage) *Auth { return &Auth{static: payload} }

// CommandAuth asks a command, run in dir, with the store's id as [StoreVariable] and as the last argument. It prints
// {"payload": …} and maybe "expires", in the form of RFC 3339, until when the payload is used again; without that it
// is used as long as the Auth. where is a place in a configuration, for errors.
func CommandAuth(command []string, dir, where string, now func() time.Time) *Auth {
	return &Auth{command: command, dir: dir, where: where, now: now, stores: map[livestore.StoreID]*authEntry{}}
}

// Payload returns what gets the payload of a store; of a nil Auth nil, which stands for no payload.
func (a *Auth) Payload(store livestore.StoreID) func(ctx context.Context) (json.RawMessage, error) {
	switch {
	case a == nil:
		return nil
	case a.command == nil && a.jwt == nil:
		return func(context.Context) (json.RawMessage, error) { return a.static, nil }
	default:
		return func(ctx context.Context) (json.RawMessage, error) { return a.ask(ctx, store) }
	}
}

func (a *Auth) ask(ctx context.Context, store livestore.StoreID) (json.RawMessage, error) {
	a.mu.Lock()
	e := a.stores[store]
	if e == nil {
		e = &authEntry{turn: make(chan struct{}, 1)}
		a.stores[store] = e
	}
	a.mu.Unlock()
	select {
	case e.turn <- struct{}{}:
		defer func() { <-e.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if e.payload != nil && (e.until.IsZero() || a.now().Before(e.until)) {
		return e.payload, nil
	}
	e.payload = nil
	payload, expires, err := a.get(ctx, store)
	if err != nil {
		return nil, err
	}
	e.payload, e.until = payload, time.Time{}
	if !expires.IsZero() {
		life := expires.Sub(a.now())
		e.until = expires.Add(-min(authMargin, life/10))
	}
	return payload, nil
}

func (a *Auth) get(ctx context.Context, store livestore.StoreID) (json.RawMessage, time.Time, error) {
	if a.jwt != nil {
		return a.sign(store)
	}
	return a.run(ctx, store)
}

// run runs the command once.
func (a *Auth) run(ctx context.Context, store livestore.StoreID) (payload json.RawMessage, expires time.Time, err error) {
	limited, cancel := context.WithTimeout(ctx, authTime)
	defer cancel()
	args := append(append([]string(nil), a.command[1:]...), string(store))
	cmd := exec.CommandContext(limited, a.command[0], args...)
	cmd.Dir = a.dir
	cmd.Env = append(cmd.Environ(), StoreVariable+"="+string(store))
	cmd.WaitDelay = time.Second // a child of its own may hold the pipes open
	var out, said limitedBuffer
	cmd.Stdout, cmd.Stderr = &out, &said
	fail := func(format string, args ...any) *errs.Error {
		return errs.Invalidf("the auth command for store %s "+format, append([]any{store}, args...)...).At("%s", a.where).
			Hintf(`run it by hand with the store's id as its last argument: it prints {"payload": …} and maybe "expires": "2027-01-31T12:00:00Z"`)
	}
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return nil, time.Time{}, context.Cause(ctx)
	case limited.Err() != nil:
		return nil, time.Time{}, fail("did not end within %s", authTime)
	case errors.As(err, &exit):
		if line := lastLine(withoutPayload(said.kept.String(), out.kept.Bytes())); line != "" {
			return nil, time.Time{}, fail("failed (%s): %s", exit, line)
		}
		return nil, time.Time{}, fail("failed (%s) and said nothing on stderr", exit)
	case err != nil:
		return nil, time.Time{}, fail("can't be run").Because(err)
	case out.over:
		return nil, time.Time{}, fail("printed more than %d kB", authOutput>>10)
	}
	var answer struct {
		Payload json.RawMessage `json:"payload"`
		Expires *string         `json:"expires"`
	}
	dec := json.NewDecoder(&out.kept)
	dec.DisallowUnknownFields() // a mistyped "expires" would keep a payload for good
	if err := dec.Decode(&answer); err != nil {
		return nil, time.Time{}, fail(`did not print one JSON object of "payload" and maybe "expires"`)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, time.Time{}, fail("printed more than one JSON object")
	}
	if answer.Payload == nil {
		return nil, time.Time{}, fail(`printed no "payload"`)
	}
	if answer.Expires != nil {
		if expires, err = time.Parse(time.RFC3339, *answer.Expires); err != nil {
			return nil, time.Time{}, fail(`printed an "expires" that is not a time in the form of RFC 3339`)
		}
		if !expires.After(a.now()) {
			return nil, time.Time{}, fail("printed a payload that has expired, at %s", expires.UTC().Format(time.RFC3339))
		}
	}
	return answer.Payload, expires, nil
}

// A limitedBuffer keeps the first authOutput bytes. The buffer is not embedded: its ReadFrom knows no limit.
type limitedBuffer struct {
	kept bytes.Buffer
	over bool
}

func (b *limitedBuffer) Write(p []byte) (int, error) {
	n := min(len(p), authOutput-b.kept.Len())
	b.kept.Write(p[:n])
	b.over = b.over || n < len(p)
	return len(p), nil
}

// withoutPayload takes the strings that a failed command printed as JSON out of what it said beside that.
func withoutPayload(said string, out []byte) string {
	var printed any
	if json.Unmarshal(out, &printed) != nil {
		return said
	}
	var cut func(v any)
	cut = func(v any) {
		switch v := v.(type) {
		case string:
			if v != "" {
				said = strings.ReplaceAll(said, v, "…")
			}
		case []any:
			for _, v := range v {
				cut(v)
			}
		case map[string]any:
			for _, v := range v {
				cut(v)
			}
		}
	}
	cut(printed)
	return said
}

// lastLine is the last line with text in it, cut to what fits a message.
func lastLine(s string) string {
	const most = 200
	s = strings.TrimSpace(s)
	s = strings.TrimSpace(s[strings.LastIndexByte(s, '\n')+1:])
	line := []rune(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, s))
	if len(line) > most {
		return string(line[:most]) + " …"
	}
	return string(line)
}
