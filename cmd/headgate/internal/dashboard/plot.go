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

// readiness are the stores of a rollout by their readers, whether they are open or not.
func readiness(t rollout.Tally) []segment {
	return stack(part{"eligible", "open", int64(t.Eligible)}, part{"waiting", "waiting", int64(t.Waiting)},
		part{"blocked", "blocked", int64(t.Blocked)}, part{"unobserved", "unobserved", int64(t.Unobserved)})
}

// opened are those that are open, and the others.
func opened(t rollout.Tally) []segment {
	return stack(part{"open", "done", int64(t.Open)}, part{"closed", "rest", int64(t.Stores - t.Open)})
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
