package dashboard

import (
	"headgate/cmd/headgate/internal/operate"
	"headgate/rollout"
)

// A segment is a piece of a bar that is 1000 wide.
type segment struct {
	Label, Class string
	X, W         int64
	N            int64
}

type part struct {
	label, class string
	n            int64
}

// stack lays parts side by side; one that is there is seen, however small. Nothing makes no bar.
func stack(parts ...part) []segment {
	var sum, x int64
	for _, p := range parts {
		sum += p.n
	}
	var out []segment
	for _, p := range parts {
		if p.n <= 0 {
			continue
		}
		w := min(max(p.n*1000/sum, 6), 1000-x)
		out = append(out, segment{p.label, p.class, x, w, p.n})
		x += w
	}
	if n := len(out); n > 0 {
		out[n-1].W = 1000 - out[n-1].X
	}
	return out
}

// shareOf are the stores of a rollout. Open ones are eligible, too, or were.
func shareOf(t rollout.Tally) []segment {
	held := t.Waiting + t.Blocked + t.Unobserved
	open := min(t.Open, t.Stores)
	ready := max(0, t.Stores-open-held)
	return stack(part{"open", "done", int64(open)}, part{"eligible", "open", int64(ready)}, part{"waiting", "waiting", int64(min(t.Waiting, t.Stores-open-ready))},
		part{"blocked", "blocked", int64(min(t.Blocked, t.Stores-open-ready))}, part{"unobserved", "unobserved", int64(min(t.Unobserved, t.Stores-open-ready))})
}

// A ramp is the stairs of a rollout's steps.
type ramp struct {
	Width int
	Steps []stair
}

type stair struct {
	X, Y, W, H, Mid int
	Weight, State   string // done, now or later
	Number          int
}

// rampHeight is that of 100 %.
const (
	rampHeight = 60
	rampTop    = 16
	stairWidth = 64
)

func rampOf(steps []rollout.Step, s operate.RolloutStatus) *ramp {
	if len(steps) == 0 {
		return nil
	}
	r := &ramp{Width: stairWidth * len(steps)}
	past := s.Phase == rollout.PointOfNoReturn || s.Phase.Open()
	for i, step := range steps {
		h := max(2, rampHeight*int(step.Weight)/(100*1000))
		st := stair{X: i * stairWidth, Y: rampTop + rampHeight - h, W: stairWidth - 4, H: h, Mid: i*stairWidth + (stairWidth-4)/2, Weight: step.Weight.String(), State: "later", Number: i + 1}
		switch {
		case past || s.Step > i+1:
			st.State = "done"
		case s.Step == i+1:
			st.State = "now"
		}
		r.Steps = append(r.Steps, st)
	}
	return r
}
