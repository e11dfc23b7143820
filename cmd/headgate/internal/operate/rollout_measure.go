package operate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/rollout"
)

// signal reads a signal of the window, which begins with the step's analysis at the earliest: what came before a resume is
// not held against it.
func (v *Rollout) signal(ctx context.Context, t rollout.Template) (rollout.Measurement, error) {
	now := v.Now()
	since := now.Add(-t.For)
	i := slices.IndexFunc(v.Row.State.Analysis, func(r rollout.AnalysisRun) bool { return r.Template == t.Name })
	if i >= 0 && v.Row.State.Analysis[i].Begin.After(since) {
		since = v.Row.State.Analysis[i].Begin
	}
	since = since.Truncate(control.SignalSlot)
	counts, err := v.DB.Signals(ctx, v.Name, control.SignalQuery{
		Since: since, Until: now.Add(control.SignalSlot), Schema: v.Definition.Schema, Rollout: v.Definition.Name,
	})
	if err != nil {
		return rollout.Measurement{}, err
	}
	r := rollout.ReadSignal(t.Signal, counts, now.Sub(since))
	return rollout.Measurement{Value: r.Value, Baseline: r.Baseline, Made: r.Made}, nil
}

// ask sends a request to where an operator's file says. What signs in there goes to no other address, and an error does not
// repeat the address, which may hold a secret.
func ask(req *http.Request) (*http.Response, error) {
	client := http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := client.Do(req)
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return res, err
}

// prometheusBytes is how long an answer may be.
const prometheusBytes = 1 << 20

// prometheus asks for a value now. A vector is the list of its values, a scalar a number.
func (v *Rollout) prometheus(ctx context.Context, p rollout.Prometheus) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	form := url.Values{"query": {v.filled().Replace(p.Query)}, "timeout": {fmt.Sprintf("%dms", p.Timeout.Milliseconds())}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.Address+"/api/v1/query", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if p.Authorization != "" {
		value := v.Getenv(p.Authorization)
		if value == "" {
			return nil, errs.Invalidf("the environment variable %s, which signs in to Prometheus, is empty", p.Authorization)
		}
		req.Header.Set("Authorization", value)
	}
	res, err := ask(req)
	if err != nil {
		return nil, fmt.Errorf("ask Prometheus: %w", err)
	}
	defer res.Body.Close() //nolint:errcheck // it was read
	body, err := io.ReadAll(io.LimitReader(res.Body, prometheusBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read what Prometheus answers: %w", err)
	case len(body) > prometheusBytes:
		return nil, errs.Invalidf("Prometheus answers more than 1 MB").Hintf("sum over what differs")
	}
	return prometheusValue(res.StatusCode, body)
}

func prometheusValue(status int, body []byte) (any, error) {
	var answer struct {
		Status string `json:"status"`
		Error  string `json:"error"`
		Data   struct {
			Type   string          `json:"resultType"`
			Result json.RawMessage `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, errs.Invalidf("Prometheus answers %d, and no JSON", status)
	}
	if answer.Status != "success" {
		return nil, errs.Invalidf("Prometheus answers %d: %s", status, firstLine(answer.Error))
	}
	switch answer.Data.Type {
	case "scalar":
		var pair []any
		if err := json.Unmarshal(answer.Data.Result, &pair); err != nil {
			return nil, errs.Invalidf("Prometheus answers a scalar that is none")
		}
		return sample(pair)
	case "vector":
		var series []struct {
			Value []any `json:"value"`
		}
		if err := json.Unmarshal(answer.Data.Result, &series); err != nil {
			return nil, errs.Invalidf("Prometheus answers a vector that is none")
		}
		out := make([]any, len(series))
		for i, s := range series {
			var err error
			if out[i], err = sample(s.Value); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return nil, errs.Invalidf("Prometheus answers a %s, not a vector or a scalar", answer.Data.Type)
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s[:min(len(s), 300)]
}

// sample is the value of a time and a value: nil for what is not a number, and the largest one for what is infinite, which
// JSON has no word for.
func sample(pair []any) (any, error) {
	if len(pair) == 2 {
		if s, ok := pair[1].(string); ok {
			f, err := strconv.ParseFloat(s, 64)
			switch {
			case err != nil:
			case math.IsNaN(f):
				return nil, nil
			default:
				return max(-math.MaxFloat64, min(f, math.MaxFloat64)), nil
			}
		}
	}
	return nil, errs.Invalidf("Prometheus answers a value that is no number")
}
