package cli

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"headgate/internal/errs"
)

func asError(err error) *errs.Error { return errs.As(err) }

func TestColours(t *testing.T) {
	for _, tc := range []struct {
		name     string
		terminal bool
		env      map[string]string
		line     []string
		want     bool
	}{
		{"a terminal", true, nil, nil, true},
		{"a pipe", false, nil, nil, false},
		{"NO_COLOR", true, map[string]string{"NO_COLOR": "1"}, nil, false},
		{"NO_COLOR empty", true, map[string]string{"NO_COLOR": ""}, nil, true},
		{"a dumb terminal", true, map[string]string{"TERM": "dumb"}, nil, false},
		{"--no-color", true, nil, []string{"--no-color"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, stdout, _ := testApp(t, tc.env)
			a.stdout.terminal = tc.terminal
			if err := a.run(t.Context(), append([]string{"headgate", "help"}, tc.line...)); err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(stdout.String(), "\x1b["); got != tc.want {
				t.Errorf("colours: %v, want %v", got, tc.want)
			}
		})
	}
}

// TestRenderIsWhole: a text that fails half-way prints nothing.
func TestRenderIsWhole(t *testing.T) {
	a, stdout, _ := testApp(t, nil)
	err := a.render(nil, func(w io.Writer) error {
		_, _ = io.WriteString(w, "half")
		return errors.New("boom")
	})
	if err == nil || stdout.Len() > 0 || a.rendered {
		t.Errorf("error %v, stdout %q, rendered %v", err, stdout, a.rendered)
	}
}

func TestRenderFormats(t *testing.T) {
	text := func(w io.Writer) error { _, err := io.WriteString(w, "text\n"); return err }
	sarif := rendering{"sarif", func(w io.Writer) error { _, err := io.WriteString(w, "sarif\n"); return err }}
	for format, want := range map[string]string{"text": "text\n", "sarif": "sarif\n", "json": "{\n  \"a\": \"<b>\"\n}\n"} {
		a, stdout, _ := testApp(t, nil)
		a.format = format
		if err := a.render(map[string]string{"a": "<b>"}, text, sarif); err != nil || stdout.String() != want {
			t.Errorf("%s: %q (%v), want %q", format, stdout, err, want)
		}
	}
}

func TestSlowProgress(t *testing.T) {
	p := progress{label: "assessed stores", total: 10, count: 2}
	if got, want := p.line(time.Minute), "assessed stores: 2 of 10 (20 %), 2/min, 4m0s left"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestProgress(t *testing.T) {
	for _, tc := range []struct {
		name     string
		terminal bool
		format   string
		want     string
	}{
		{
			"a pipe", false, formatText,
			"replay: 200 of 1000 (20 %), 100/s, 8s left\nreplay: 1000 of 1000 (100 %), 83/s\n",
		},
		{"a pipe and JSON", false, formatJSON, ""},
		{
			"a terminal", true, formatText,
			"\rreplay: 200 of 1000 (20 %), 100/s, 8s left\rreplay: 300 of 1000 (30 %), 143/s, 5s left\rreplay: 1000 of 1000 (100 %), 83/s" + strings.Repeat(" ", 8) + "\r" + strings.Repeat(" ", 34) + "\r",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var stderr bytes.Buffer
			clock := time.Unix(0, 0)
			a := newApp(nil, io.Discard, &stderr, lookup(nil), func() time.Time { return clock })
			a.format, a.stderr.terminal = tc.format, tc.terminal
			p := a.progress("replay", 1000)
			p.Add(100) // within the first second: nothing
			clock = clock.Add(2 * time.Second)
			p.Add(100)
			clock = clock.Add(100 * time.Millisecond)
			p.Add(100) // too soon for a pipe
			clock = clock.Add(9900 * time.Millisecond)
			p.Add(700)
			p.Done()
			if stderr.String() != tc.want {
				t.Errorf("got  %q\nwant %q", stderr.String(), tc.want)
			}
		})
	}
}
