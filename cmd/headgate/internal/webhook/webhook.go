// Package webhook tells an address of the operator's what happens in an environment: rollouts that move, aborts and stops,
// runs that fail, incidents. What happened is what the audit has, whoever did it, with or without a server. It is told as
// https://www.standardwebhooks.com says, version 1, so that receivers can check it with a library:
//
//	webhook-id: hg_…            the same in all attempts, and of no other event
//	webhook-timestamp: 17…      of the attempt, in Unix seconds
//	webhook-signature: v1,…     base64 of HMAC-SHA256 over ID.TIMESTAMP.BODY, keyed with the secret
//
// A [Sender] reads the audit beside whatever happens and queues in the control database what is to be told: no transition
// waits for it, and none is forgotten when a server ends. Any number of servers share the queue. What was answered with 2xx
// is told once, unless a server dies between the answer and its note of it: receivers tell twins by their webhook-id. Another
// answer is tried again, later and later, and given up after [Tries]. The order is not kept: data.seq has it.
package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"headgate/internal/control"
	"headgate/internal/errs"
)

// Tries is after how many attempts an event is given up: about six hours after the first.
const Tries = 14

const (
	lookEvery  = time.Second
	askTime    = 10 * time.Second // for one attempt
	claimTime  = 30 * time.Second // after that another server takes an attempt for lost
	firstPause = 5 * time.Second
	mostPause  = time.Hour
)

// A Sender tells an environment's webhook what happens.
type Sender struct {
	DB     *control.DB
	Env    string
	App    string
	URL    string
	Secret []byte
	Told   func(action string) bool // of what
	HTTP   *http.Client
	Now    func() time.Time
	Log    *slog.Logger

	// Counted is called with what became of each attempt: delivered, failed or dead; nil for not.
	Counted func(result string)
}

// ParseSecret reads a secret as Standard Webhooks writes it: whsec_ and base64 of 24 to 64 bytes.
func ParseSecret(text string) ([]byte, error) {
	encoded, ok := strings.CutPrefix(strings.TrimSpace(text), "whsec_")
	secret, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(secret) < 24 || len(secret) > 64 {
		return nil, errs.Invalidf("the webhook's secret is not whsec_ and the base64 of 24 to 64 bytes").
			Hintf("make one: echo whsec_$(openssl rand -base64 32)")
	}
	return secret, nil
}

// Sign returns the webhook-signature of a body.
func Sign(secret []byte, id string, at time.Time, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s.%d.", id, at.Unix())
	_, _ = mac.Write(body) // never fails
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// An Event is what is told.
type Event struct {
	Type      string    `json:"type"` // the audit's action: rollout.abort
	Timestamp time.Time `json:"timestamp"`
	Data      Data      `json:"data"`
}

// Data is an entry of the audit.
type Data struct {
	App         string          `json:"app"`
	Environment string          `json:"environment"`
	Seq         int64           `json:"seq"`
	Actor       string          `json:"actor"`
	Subject     string          `json:"subject"`
	Detail      json.RawMessage `json:"detail"`
}

// Run tells what there is to tell until the context ends.
func (s *Sender) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	said := ""
	for {
		err := s.Look(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			said = ""
		case err.Error() != said: // the database is away: once
			said = err.Error()
			s.Log.Error("the webhook's queue can't be used", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Look queues what happened, and tells what is due.
func (s *Sender) Look(ctx context.Context) error {
	for {
		n, err := s.DB.QueueDeliveries(ctx, s.Env, s.Told)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
	}
	for {
		d, found, err := s.DB.ClaimDelivery(ctx, s.Env, s.Now().Add(claimTime))
		if err != nil || !found {
			return err
		}
		after, failed := s.tell(ctx, d)
		if ctx.Err() != nil {
			return nil // it is due again when the claim has ended
		}
		if err := s.end(ctx, d, failed, after); err != nil {
			return err
		}
	}
}

// end keeps what became of an attempt.
func (s *Sender) end(ctx context.Context, d control.Delivery, failed error, after time.Duration) error {
	end, result := control.DeliveryEnd{}, "delivered"
	if failed != nil {
		end.Error, result = failed.Error(), "failed"
		var gone *goneError
		if d.Attempts < Tries && !errors.As(failed, &gone) {
			end.Again = s.Now().Add(max(after, pause(d.Attempts)))
		} else {
			result = "dead"
		}
		s.Log.Warn("the webhook was not told", "event", d.Entry.Action, "seq", d.Entry.Seq, "attempt", d.Attempts, "given up", result == "dead", "error", end.Error)
	}
	if s.Counted != nil {
		s.Counted(result)
	}
	return s.DB.EndDelivery(ctx, s.Env, d, end)
}

// pause is how long to wait after an attempt, up to a tenth longer so that what failed together does not come together.
func pause(attempts int) time.Duration {
	p := mostPause
	if attempts < 20 {
		p = min(p, firstPause<<(attempts-1))
	}
	return p + rand.N(p/10)
}

// A goneError is an answer that says that there will be no other.
type goneError struct{}

func (*goneError) Error() string { return "it answers 410 Gone" }

// tell is one attempt. It returns why it failed, without the address, which may hold a secret, and how long the receiver asks
// to be left alone.
func (s *Sender) tell(ctx context.Context, d control.Delivery) (after time.Duration, failed error) {
	e := d.Entry
	body, err := json.Marshal(Event{e.Action, e.At, Data{s.App, e.Env, e.Seq, e.Actor, e.Subject, e.Detail}})
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, bytes.NewReader(body))
	if err != nil {
		return 0, errors.New("its address can't be used")
	}
	id, at := "hg_"+e.Hash[:min(32, len(e.Hash))], s.Now()
	for name, value := range map[string]string{
		"Content-Type": "application/json", "User-Agent": "headgate", "webhook-id": id, "webhook-timestamp": strconv.FormatInt(at.Unix(), 10),
		"webhook-signature": Sign(s.Secret, id, at, body),
	} {
		req.Header.Set(name, value)
	}
	client := *s.HTTP
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // what is signed is for this address
	res, err := client.Do(req)
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if err != nil {
		return 0, fmt.Errorf("it does not answer: %w", err)
	}
	defer res.Body.Close()                                      //nolint:errcheck // whatever it says is of no use
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<16)) // so that the connection can be used again
	switch {
	case res.StatusCode/100 == 2:
		return 0, nil
	case res.StatusCode == http.StatusGone:
		return 0, &goneError{}
	}
	if n, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && n > 0 {
		after = min(time.Duration(min(n, int(mostPause/time.Second)))*time.Second, mostPause)
	}
	return after, fmt.Errorf("it answers %d %s", res.StatusCode, http.StatusText(res.StatusCode))
}
