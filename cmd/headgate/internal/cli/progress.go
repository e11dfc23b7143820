package cli

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	progressDelay    = time.Second            // shorter work shows nothing
	progressRedraw   = 100 * time.Millisecond // on a terminal
	progressInterval = 10 * time.Second       // elsewhere, one line each
)

// A progress shows on stderr how far long work is: a line that is redrawn on a terminal, sparse lines elsewhere,
// nothing in the first second. With --format json it shows only on a terminal. It may be used by several
// goroutines, has none of its own, and prints only from inside Add.
type progress struct {
	a     *app
	label string
	quiet bool  // it shows nothing by itself
	total int64 // 0 when unknown, as is one that turns out too low

	mu    sync.Mutex
	count int64
	start time.Time
	shown time.Time // last output, zero before the first
	width int       // of the line on the terminal
}

// progress starts to measure work of total steps, 0 when the number is not known. End it with Done.
func (a *app) progress(label string, total int64) *progress {
	return &progress{a: a, label: label, total: total, start: a.now()}
}

// Add counts n more steps.
func (p *progress) Add(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count += n
	now := p.a.now()
	every := progressInterval
	if p.a.stderr.terminal {
		every = progressRedraw
	} else if p.a.format == formatJSON {
		return
	}
	if p.quiet {
		return
	}
	if now.Sub(p.start) < progressDelay || !p.shown.IsZero() && now.Sub(p.shown) < every {
		return
	}
	p.shown = now
	p.print(p.line(now.Sub(p.start)))
}

// show has it show itself from now on, or no more.
func (p *progress) show(shown bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.quiet = !shown
}

// String is the line that it would show now.
func (p *progress) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.count == 0 {
		return fmt.Sprintf("%s: none of %d yet", p.label, p.total)
	}
	return p.line(p.a.now().Sub(p.start))
}

// Done removes the line from the terminal.
func (p *progress) Done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.a.stderr.terminal && p.width > 0 {
		fmt.Fprintf(p.a.stderr, "\r%s\r", strings.Repeat(" ", p.width))
		p.width = 0
	}
}

func (p *progress) line(elapsed time.Duration) string {
	rate := float64(p.count) / elapsed.Seconds()
	pace := fmt.Sprintf("%.0f/s", rate)
	if rate < 2 {
		pace = fmt.Sprintf("%.0f/min", 60*rate)
	}
	if p.total == 0 || p.count > p.total { // nobody knows how many there will be
		return fmt.Sprintf("%s: %d, %s", p.label, p.count, pace)
	}
	s := fmt.Sprintf("%s: %d of %d (%d %%), %s", p.label, p.count, p.total, p.count*100/p.total, pace)
	if rate > 0 && p.count < p.total {
		left := time.Duration(float64(p.total-p.count) / rate * float64(time.Second))
		s += fmt.Sprintf(", %s left", left.Round(time.Second))
	}
	return s
}

func (p *progress) print(line string) {
	if !p.a.stderr.terminal {
		fmt.Fprintf(p.a.stderr, "%s\n", line)
		return
	}
	pad := max(0, p.width-len(line))
	fmt.Fprintf(p.a.stderr, "\r%s%s", line, strings.Repeat(" ", pad))
	p.width = len(line)
}
