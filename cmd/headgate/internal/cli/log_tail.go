package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
)

func (a *app) logTailCommand() *cli.Command {
	return &cli.Command{
		Name:  "tail",
		Usage: "print a log's last events",
		UsageText: "headgate log tail --log file:data/demo/eventlog@6.db -n 20\n" +
			"headgate log tail --env local --store demo --follow",
		Description: `Of the arguments it prints key, type and length; --reveal prints the values. With --follow it goes on printing what
is added to the log of a running app or of a backend, until it is interrupted, and with --format json it prints one object per line then.
A pending event that is renumbered is printed again.`,
		Flags: logFlags(
			&cli.IntFlag{Name: "lines", Aliases: []string{"n"}, Usage: "print the last `N` events", Value: 10},
			&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "go on with what is added"},
			&cli.BoolFlag{Name: "reveal", Usage: "print the values of the arguments"},
		),
		Action: a.logTail,
	}
}

// maxTail bounds what tail keeps in memory.
const maxTail = 100_000

// A tailEvent is an event as tail prints it.
type tailEvent struct {
	Seq        string          `json:"seq"`
	Parent     string          `json:"parent"`
	Name       string          `json:"name"`
	ClientID   string          `json:"clientId"`
	SessionID  string          `json:"sessionId"`
	Release    string          `json:"release,omitempty"`
	CreatedAt  string          `json:"createdAt,omitempty"`
	ClientOnly bool            `json:"clientOnly"`
	Pending    bool            `json:"pending"`
	Shape      string          `json:"shape,omitempty"` // key, type and length of the arguments
	Args       json.RawMessage `json:"args,omitempty"`  // with --reveal
	Problem    string          `json:"problem,omitempty"`
}

func (a *app) logTail(c *cli.Context) (err error) {
	n := c.Int("lines")
	if n < 0 || n > maxTail {
		return errs.Invalidf("--lines must be from 0 to %d", maxTail)
	}
	l, err := a.oneLog(c)
	if err != nil {
		return err
	}
	reveal := c.Bool("reveal")
	if c.Bool("follow") {
		return a.followLog(c.Context, l, n, reveal)
	}
	r, err := l.open(c.Context)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	last, err := a.lastEvents(c.Context, r, l, n, reveal)
	if err != nil {
		return err
	}
	return a.render(map[string]any{"events": last}, func(w io.Writer) error {
		for _, e := range last {
			if _, err := fmt.Fprintln(w, e); err != nil {
				return err
			}
		}
		return nil
	})
}

// lastEvents returns the last n events. Numbers are nearly dense, so it begins n before the end, and begins anew
// where a gap makes that too few.
func (a *app) lastEvents(ctx context.Context, r eventlog.Reader, l storeLog, n int, reveal bool) ([]tailEvent, error) {
	last := []tailEvent{}
	if n == 0 {
		return last, nil
	}
	head, err := r.Head(ctx)
	if err != nil {
		return nil, err
	}
	p := a.progress("reading "+l.name(), 0)
	defer p.Done()
	for _, from := range []livestore.SeqNum{head.Last.Global - livestore.SeqNum(n), -1} {
		last = last[:0]
		for e, err := range r.Events(ctx, livestore.ClientSeq{Global: from}) {
			shown, err := tailed(e, err, reveal)
			if err != nil {
				return nil, err
			}
			if len(last) == 2*n { // let go of the first half
				last = append(last[:0], last[n:]...)
			}
			last = append(last, shown)
			p.Add(1)
		}
		last = last[max(0, len(last)-n):]
		if len(last) == n || from <= 0 {
			break
		}
	}
	return last, nil
}

// tailed returns what tail prints of an element of a log.
func tailed(e livestore.Event, err error, reveal bool) (tailEvent, error) {
	var bad *eventlog.Malformed
	if err != nil && !errors.As(err, &bad) {
		return tailEvent{}, err
	}
	t := tailEvent{
		Seq: e.Seq.String(), Parent: e.Parent.String(), Name: e.Name, ClientID: e.ClientID, SessionID: e.SessionID,
		CreatedAt: jsonTime(e.CreatedAt), ClientOnly: e.ClientOnly(), Pending: e.Pending,
	}
	t.Release, _ = eventlog.ReleaseOf(e.SessionID)
	switch {
	case bad != nil:
		t.Problem = bad.Err.Msg
	case reveal:
		t.Args = e.Args
	default:
		t.Shape = shapeOf(e.Args)
	}
	return t, nil
}

func (t tailEvent) String() string {
	words := []string{t.Seq}
	if t.CreatedAt != "" {
		words = append(words, t.CreatedAt)
	}
	if t.Pending {
		words = append(words, "pending")
	}
	if t.ClientOnly {
		words = append(words, "clientOnly")
	}
	words = append(words, quoteOdd(t.Name), quoteOdd(t.ClientID)+"/"+quoteOdd(t.SessionID))
	switch {
	case t.Problem != "":
		words = append(words, "PROBLEM: "+t.Problem)
	case t.Args != nil:
		words = append(words, string(t.Args))
	default:
		words = append(words, t.Shape)
	}
	return strings.Join(words, "  ")
}

// shapeOf says what JSON holds without saying its values: {id: string(6), done: boolean}.
func shapeOf(args json.RawMessage) string {
	dec := json.NewDecoder(bytes.NewReader(args))
	token, err := dec.Token()
	if err != nil {
		return ""
	}
	if token != json.Delim('{') {
		return typeOf(args)
	}
	var parts []string
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return ""
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return ""
		}
		parts = append(parts, fmt.Sprintf("%s: %s", quoteOdd(fmt.Sprint(key)), typeOf(value)))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func typeOf(value json.RawMessage) string {
	switch value[0] {
	case '"':
		var s string
		if json.Unmarshal(value, &s) != nil {
			return "string"
		}
		return fmt.Sprintf("string(%d)", utf8.RuneCountInString(s))
	case '[':
		var items []json.RawMessage
		if json.Unmarshal(value, &items) != nil {
			return "array"
		}
		return fmt.Sprintf("array(%d)", len(items))
	case '{':
		var members map[string]json.RawMessage
		if json.Unmarshal(value, &members) != nil {
			return "object"
		}
		return fmt.Sprintf("object(%d)", len(members))
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	default:
		return "number"
	}
}
