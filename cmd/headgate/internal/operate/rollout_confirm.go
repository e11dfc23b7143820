package operate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode"

	"headgate/rollout"
)

// A ConfirmQuestion is what is posted to who confirms that a rollout goes on. 200 lets the rollout go on; any other answer holds it, and the
// first line of its text is shown.
type ConfirmQuestion struct {
	Rollout     string   `json:"rollout"`
	Environment string   `json:"environment"`
	Events      []string `json:"events"`
	Attempt     int      `json:"attempt"`
	Step        int      `json:"step"` // that is to be left, 1 for the first; 0 before that opens
	Steps       int      `json:"steps"`
	Weight      string   `json:"weight"`
	Next        string   `json:"next"` // the weight of the next step, the point of no return, or full
	DryRun      bool     `json:"dryRun,omitempty"`
}

// confirm asks whether the rollout may go on. Whatever goes wrong is a refusal.
func (v *Rollout) confirm(ctx context.Context, c *rollout.Confirm, dryRun bool) *rollout.Confirmation {
	why, err := v.askConfirm(ctx, c, dryRun)
	answer := &rollout.Confirmation{OK: err == nil, Why: c.Host() + " " + why, At: v.Now()}
	if err != nil {
		answer.Why = c.Host() + " " + err.Error()
	}
	return answer
}

func (v *Rollout) askConfirm(ctx context.Context, c *rollout.Confirm, dryRun bool) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	state := v.Row.State
	q := ConfirmQuestion{
		Rollout: v.Definition.Name, Environment: v.Name, Events: v.Definition.New(), Attempt: state.Attempt, Step: state.Step + 1, Steps: len(v.Definition.Steps),
		Weight: state.Weight(v.Definition).String(), Next: string(rollout.PointOfNoReturn), DryRun: dryRun,
	}
	switch state.Phase {
	case rollout.ReaderGate:
		q.Step = 0
	case rollout.PointOfNoReturn:
		q.Next = string(rollout.Full)
	}
	if q.Step < q.Steps {
		q.Next = v.Definition.Steps[q.Step].Weight.String()
	}
	body, err := json.Marshal(q)
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, bytes.NewReader(body))
	if err != nil {
		return "", errors.New("can't be asked: its address is none")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "headgate")
	for name, variable := range c.Headers {
		value := v.Getenv(variable)
		if value == "" {
			return "", fmt.Errorf("was not asked: the environment variable %s is empty", variable)
		}
		req.Header.Set(name, value)
	}
	res, err := ask(req)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return "", fmt.Errorf("did not answer within %s", c.Timeout)
		}
		v.Log.Warn("who confirms a rollout can't be asked", "rollout", v.Definition.Name, "error", err)
		return "", errors.New("does not answer")
	}
	defer res.Body.Close() //nolint:errcheck // it was read as far as it is of use
	text, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10))
	said := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, strings.TrimSpace(strings.ToValidUTF8(firstLine(string(text)), "")))
	answered := fmt.Sprintf("answers %d", res.StatusCode)
	if said != "" {
		answered += ": " + said
	}
	if res.StatusCode != http.StatusOK {
		return "", errors.New(answered)
	}
	return "confirmed it", nil
}
