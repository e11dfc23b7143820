package controltest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/internal/control"
)

func deliveries(t *testing.T, d *database) {
	ctx := t.Context()
	happen := func(action string) {
		t.Helper()
		if err := d.Record(ctx, control.Entry{Env: "prod", Actor: "ana", Action: action, Subject: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	queue := func(want int) {
		t.Helper()
		if n, err := d.QueueDeliveries(ctx, "prod", func(action string) bool { return strings.HasPrefix(action, "rollout.") }); err != nil || n != want {
			t.Fatalf("queued %d, %v; want %d", n, err, want)
		}
	}
	claim := func() (control.Delivery, bool) {
		t.Helper()
		got, found, err := d.ClaimDelivery(ctx, "prod", d.clock.Now().Add(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		return got, found
	}
	end := func(got control.Delivery, e control.DeliveryEnd) {
		t.Helper()
		if err := d.EndDelivery(ctx, "prod", got, e); err != nil {
			t.Fatal(err)
		}
	}
	if _, found, err := d.Webhook(ctx, "prod"); found || err != nil {
		t.Fatal(found, err)
	}
	happen("rollout.start") // before anybody was to be told
	queue(0)
	queue(0)
	happen("rollout.advance")
	happen("token.create")
	happen("rollout.abort")
	queue(2)
	queue(0)
	first, found := claim()
	if !found || first.Entry.Action != "rollout.advance" || first.Attempts != 1 || first.Entry.Hash == "" {
		t.Fatalf("%+v, %v", first, found)
	}
	second, found := claim()
	if !found || second.Entry.Action != "rollout.abort" {
		t.Fatalf("%+v, %v", second, found)
	}
	if more, found := claim(); found {
		t.Fatalf("claimed twice: %+v", more)
	}
	end(second, control.DeliveryEnd{})
	// Who claimed the first has died: it is due again, and what it says later no longer counts.
	d.clock.Advance(2 * time.Minute)
	again, found := claim()
	if !found || again.Entry.Seq != first.Entry.Seq || again.Attempts != 2 {
		t.Fatalf("%+v, %v", again, found)
	}
	end(first, control.DeliveryEnd{Error: "late"})
	end(again, control.DeliveryEnd{Error: "503", Again: d.clock.Now().Add(time.Hour)})
	if s, found, err := d.Webhook(ctx, "prod"); err != nil || !found || s.Waiting != 1 || s.Delivered != 1 || s.GivenUp != 0 || s.Error != "503" || s.Since.IsZero() {
		t.Errorf("%+v, %v", s, err)
	}
	if _, found := claim(); found {
		t.Error("it is not due")
	}
	d.clock.Advance(time.Hour)
	if again, found = claim(); !found || again.Attempts != 3 {
		t.Fatalf("%+v, %v", again, found)
	}
	end(again, control.DeliveryEnd{Error: "503 again"})
	if s, _, err := d.Webhook(ctx, "prod"); err != nil || s.Waiting != 0 || s.GivenUp != 1 || s.Error != "503 again" {
		t.Errorf("%+v, %v", s, err)
	}
	if n, err := d.RetryDeliveries(ctx, "prod", ana()); err != nil || n != 1 {
		t.Errorf("%d, %v", n, err)
	}
	if again, found = claim(); !found || again.Attempts != 1 {
		t.Errorf("%+v, %v", again, found)
	}
	end(again, control.DeliveryEnd{})
	// What was delivered is forgotten after a while.
	d.clock.Advance(8 * 24 * time.Hour)
	happen("rollout.start")
	queue(1)
	if s, _, err := d.Webhook(ctx, "prod"); err != nil || s.Delivered != 0 || s.Waiting != 1 {
		t.Errorf("%+v, %v", s, err)
	}
}

// deliveriesAtOnce: of many servers, each event is queued once and claimed once.
func deliveriesAtOnce(t *testing.T, d *database) {
	ctx := t.Context()
	all := func(string) bool { return true }
	if _, err := d.QueueDeliveries(ctx, "prod", all); err != nil {
		t.Fatal(err)
	}
	const events = 40
	servers := []*control.DB{d.DB, d.open(t), d.open(t)}
	var mu sync.Mutex
	claimed := map[int64]int{}
	err := errors.Join(atOnce(len(servers), func(i int) error {
		for n := range events {
			if i == 0 {
				if err := d.Record(ctx, control.Entry{Env: "prod", Actor: "ana", Action: "rollout.open", Subject: fmt.Sprint(n)}); err != nil {
					return err
				}
			}
			if _, err := servers[i].QueueDeliveries(ctx, "prod", all); err != nil {
				return err
			}
			got, found, err := servers[i].ClaimDelivery(ctx, "prod", d.clock.Now().Add(time.Hour))
			if err != nil {
				return err
			}
			if found {
				mu.Lock()
				claimed[got.Entry.Seq]++
				mu.Unlock()
			}
		}
		return nil
	})...)
	if err != nil {
		t.Fatal(err)
	}
	for {
		if n, err := d.QueueDeliveries(ctx, "prod", all); err != nil || n == 0 {
			break
		}
	}
	for {
		got, found, err := d.ClaimDelivery(ctx, "prod", d.clock.Now().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if !found {
			break
		}
		claimed[got.Entry.Seq]++
	}
	if len(claimed) != events {
		t.Errorf("%d of %d", len(claimed), events)
	}
	for seq, n := range claimed {
		if n != 1 {
			t.Errorf("entry %d was claimed %d times", seq, n)
		}
	}
}
