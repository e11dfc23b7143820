package rollout_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/isolated"

	"headgate/internal/errs"
	"headgate/rollout"
)

// client is an OpenFeature client of the flags in text, with an API of its own.
func client(t testing.TB, text string) *openfeature.Client {
	t.Helper()
	file := flags(t, text)
	api := isolated.NewAPI()
	t.Cleanup(func() {
		if err := api.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	p := rollout.NewProvider(func(context.Context) (*rollout.File, error) { return file, nil })
	if err := api.SetProviderAndWait(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	return api.NewClient()
}

func attributes(a map[string]any) openfeature.EvaluationContext {
	return openfeature.NewTargetlessEvaluationContext(a)
}

func TestProvider(t *testing.T) {
	const text = `flags:
  event.TodoCreated:
    rollout: todo-created-v2
    revision: 7
    variants:
      v1: v1.TodoCreated
      v2: {event: v2.TodoCreated, floor: 1.5.0, percent: 50, stores: [demo]}
  event.Off: {state: disabled, variants: {v1: v1.Off}}
`
	c := client(t, text)
	for _, tc := range []struct {
		name, flag string
		context    map[string]any
		value      string
		variant    string
		reason     openfeature.Reason
		code       openfeature.ErrorCode
	}{
		{"in the share", "event.TodoCreated", map[string]any{"storeId": "user-1", "appVersion": "1.5.0"}, "v2.TodoCreated", "v2", openfeature.SplitReason, ""},
		{"outside of it", "event.TodoCreated", map[string]any{"storeId": "user-3", "appVersion": "1.5.0"}, "v1.TodoCreated", "v1", openfeature.SplitReason, ""},
		{"listed", "event.TodoCreated", map[string]any{"storeId": "demo", "appVersion": "1.5.0"}, "v2.TodoCreated", "v2", openfeature.TargetingMatchReason, ""},
		{"a number for a version", "event.TodoCreated", map[string]any{"storeId": "demo", "appVersion": 2}, "v2.TodoCreated", "v2", openfeature.TargetingMatchReason, ""},
		{"no version", "event.TodoCreated", map[string]any{"storeId": "demo"}, "v1.TodoCreated", "v1", openfeature.DefaultReason, ""},
		{"garbage for a version", "event.TodoCreated", map[string]any{"storeId": "demo", "appVersion": []any{}}, "v1.TodoCreated", "v1", openfeature.DefaultReason, ""},
		{"no store", "event.TodoCreated", map[string]any{"appVersion": "1.5.0"}, "v1.TodoCreated", "v1", openfeature.DefaultReason, ""},
		{"the targeting key is no store", "event.TodoCreated", map[string]any{"targetingKey": "demo", "appVersion": "1.5.0"}, "v1.TodoCreated", "v1", openfeature.DefaultReason, ""},
		{"a store that is no string", "event.TodoCreated", map[string]any{"storeId": 1, "appVersion": "1.5.0"}, "mine", "", openfeature.ErrorReason, openfeature.InvalidContextCode},
		{"disabled", "event.Off", map[string]any{"storeId": "demo"}, "mine", "", openfeature.DisabledReason, ""},
		{"no such flag", "event.Nope", nil, "mine", "", openfeature.ErrorReason, openfeature.FlagNotFoundCode},
	} {
		d, _ := c.StringValueDetails(t.Context(), tc.flag, "mine", attributes(tc.context))
		if d.Value != tc.value || d.Variant != tc.variant || d.Reason != tc.reason || d.ErrorCode != tc.code {
			t.Errorf("%s: %+v", tc.name, d)
		}
	}

	d, err := c.StringValueDetails(t.Context(), "event.TodoCreated", "mine", attributes(map[string]any{"storeId": "user-1", "appVersion": "1.5.0"}))
	want := openfeature.FlagMetadata{"headgate.rollout": "todo-created-v2", "version": "7"}
	if diff := cmp.Diff(want, d.FlagMetadata); err != nil || diff != "" {
		t.Errorf("metadata: %v\n%s", err, diff)
	}
}

func TestProviderOtherTypes(t *testing.T) {
	c := client(t, "flags: {event.A: {variants: {v1: v1.A}}}")
	ctx, none := t.Context(), openfeature.EvaluationContext{}
	b, errB := c.BooleanValueDetails(ctx, "event.A", true, none)
	i, errI := c.IntValueDetails(ctx, "event.A", 5, none)
	f, errF := c.FloatValueDetails(ctx, "event.A", 0.5, none)
	o, errO := c.ObjectValueDetails(ctx, "event.A", "mine", none)
	if errB == nil || errI == nil || errF == nil || errO == nil {
		t.Error("a string was given for another type")
	}
	if !b.Value || i.Value != 5 || f.Value != 0.5 || o.Value != "mine" {
		t.Error("the caller's default was lost")
	}
	for _, code := range []openfeature.ErrorCode{b.ErrorCode, i.ErrorCode, f.ErrorCode, o.ErrorCode} {
		if code != openfeature.TypeMismatchCode {
			t.Errorf("code %s, want TYPE_MISMATCH", code)
		}
	}
	if d, _ := c.BooleanValueDetails(ctx, "event.B", true, none); d.ErrorCode != openfeature.FlagNotFoundCode {
		t.Errorf("code %s, want FLAG_NOT_FOUND", d.ErrorCode)
	}
}

func TestProviderPlain(t *testing.T) {
	c := client(t, plain)
	ctx, demo := t.Context(), attributes(map[string]any{"storeId": "demo", "appVersion": "1.5.0"})
	b, errB := c.BooleanValueDetails(ctx, "sharing", false, demo)
	i, errI := c.IntValueDetails(ctx, "page-size", 5, demo)
	f, errF := c.FloatValueDetails(ctx, "page-size", 0.5, openfeature.EvaluationContext{})
	s, errS := c.StringValueDetails(ctx, "theme.name", "mine", demo)
	if errB != nil || errI != nil || errF != nil || errS != nil || !b.Value || i.Value != 100 || f.Value != 20 || s.Value != "dark" || i.Variant != "large" {
		t.Errorf("%+v\n%+v\n%+v\n%+v", b, i, f, s)
	}
	if d, _ := c.BooleanValueDetails(ctx, "page-size", true, demo); d.ErrorCode != openfeature.TypeMismatchCode || !d.Value {
		t.Errorf("a number for a boolean: %+v", d)
	}
	if d, _ := c.FloatValueDetails(ctx, "sharing", 0.5, demo); d.ErrorCode != openfeature.TypeMismatchCode || d.Value != 0.5 {
		t.Errorf("a boolean for a number: %+v", d)
	}
	_, got := exported(t, plain)
	variants := got.(map[string]any)["flags"].(map[string]any)["page-size"].(map[string]any)["variants"]
	if diff := cmp.Diff(map[string]any{"small": 20.0, "large": 100.0}, variants); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestProviderLifeCycle(t *testing.T) {
	path := t.TempDir() + "/flags.yaml"
	p := rollout.NewProvider(func(context.Context) (*rollout.File, error) { return rollout.Read(path) })
	ask := func() openfeature.ErrorCode {
		return p.StringEvaluation(t.Context(), "event.A", "mine", nil).ResolutionDetail().ErrorCode
	}
	if code := ask(); code != openfeature.ProviderNotReadyCode {
		t.Errorf("before Init: %s", code)
	}
	api := isolated.NewAPI()
	if err := api.SetProviderAndWait(t.Context(), p); err == nil {
		t.Error("no file, and no error")
	}
	if code := ask(); code != openfeature.ProviderNotReadyCode {
		t.Errorf("after a failed Init: %s", code)
	}
	write(t, path, "flags: {event.A: {variants: {v1: v1.A}}}")
	if err := p.Init(openfeature.EvaluationContext{}); err != nil || ask() != "" {
		t.Errorf("after Init: %v, %s", err, ask())
	}
	if err := api.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if code := ask(); code != openfeature.ProviderNotReadyCode {
		t.Errorf("after Shutdown: %s", code)
	}
}

// TestProviderPublish flips a flag under a client that asks all the time: each answer is of the one file or the other.
func TestProviderPublish(t *testing.T) {
	at := func(percent int) *rollout.File {
		return flags(t, fmt.Sprintf("flags:\n  event.A: {variants: {v1: v1.A, v2: {event: v2.A, floor: 1.0.0, percent: %d}}}\n", percent))
	}
	first := at(0)
	api := isolated.NewAPI()
	t.Cleanup(func() {
		if err := api.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	p := rollout.NewProvider(func(context.Context) (*rollout.File, error) { return first, nil })
	if err := api.SetProviderAndWait(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	told := make(chan openfeature.EventDetails, 1)
	tell := func(d openfeature.EventDetails) {
		select {
		case told <- d:
		default:
		}
	}
	api.AddHandler(openfeature.ProviderConfigChange, &tell)
	c := api.NewClient()
	ask := func() string {
		v, err := c.StringValue(t.Context(), "event.A", "none", attributes(map[string]any{"storeId": "s", "appVersion": "1.0.0"}))
		if err != nil {
			t.Error(err)
		}
		return v
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 500 {
				if v := ask(); v != "v1.A" && v != "v2.A" {
					t.Errorf("%q while the flags change", v)
				}
			}
		})
	}
	for i := range 200 {
		p.Publish(at(100 * (i % 2)))
	}
	wg.Wait()
	if v := ask(); v != "v2.A" {
		t.Errorf("%q in the end", v)
	}
	if d := <-told; d.ProviderName != "headgate" {
		t.Errorf("%+v", d)
	}
}

// BenchmarkProviderManyStores asks for one store's version, from memory, where a rollout has 10,000 stores open.
func BenchmarkProviderManyStores(b *testing.B) {
	var stores strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&stores, "store-%05d, ", i)
	}
	c := client(b, "flags:\n  event.TodoCreated:\n    variants:\n      v1: v1.TodoCreated\n      v2: {event: v2.TodoCreated, floor: 1.5.0, stores: ["+stores.String()+"]}\n")
	about := attributes(map[string]any{"storeId": "store-07777", "appVersion": "1.5.0"})
	for b.Loop() {
		if got, err := c.StringValue(b.Context(), "event.TodoCreated", "", about); got != "v2.TodoCreated" || err != nil {
			b.Fatal(got, err)
		}
	}
}

// TestProviderReadsAgain: a provider that reads again is ready, stale while it can't read and answers from what it had, and
// ready again; where nothing changed but the place of a flag nobody is told; and it ends with its API.
func TestProviderReadsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var read atomic.Pointer[rollout.File] // nil for none that can be read
		at := func(percent int, before string) *rollout.File {
			return flags(t, fmt.Sprintf("%sflags:\n  event.B: {variants: {v1: v1.B}}\n  event.A: {variants: {v1: v1.A, v2: {event: v2.A, floor: 1.0.0, percent: %d}}}\n", before, percent))
		}
		read.Store(at(0, ""))
		reads := 0
		p := rollout.NewProvider(func(context.Context) (*rollout.File, error) {
			reads++
			if f := read.Load(); f != nil {
				return f, nil
			}
			return nil, errs.Invalidf("half of a file")
		})
		p.Every = time.Minute
		api := isolated.NewAPI()
		var mu sync.Mutex // each is told by a goroutine of its own
		var told []string
		for _, what := range []openfeature.EventType{openfeature.ProviderConfigChange, openfeature.ProviderStale, openfeature.ProviderReady} {
			tell := func(d openfeature.EventDetails) {
				mu.Lock()
				defer mu.Unlock()
				told = append(told, fmt.Sprint(what, d.FlagChanges))
			}
			api.AddHandler(what, &tell)
		}
		if err := api.SetProviderAndWait(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		c := api.NewClient()
		look := func(f *rollout.File, state openfeature.State, value string, want ...string) {
			t.Helper()
			read.Store(f)
			<-time.After(61 * time.Second) // by the bubble's clock
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			slices.Sort(told)
			got, err := c.StringValue(t.Context(), "event.A", "none", attributes(map[string]any{"storeId": "s", "appVersion": "1.0.0"}))
			if err != nil || got != value || c.State() != state || !slices.Equal(told, want) {
				t.Errorf("%s, %v, %s, %q, want %q", got, err, c.State(), told, want)
			}
			told = nil
		}
		look(at(0, "# a line more\n"), openfeature.ReadyState, "v1.A", "PROVIDER_READY[]") // at first
		look(at(100, ""), openfeature.ReadyState, "v2.A", "PROVIDER_CONFIGURATION_CHANGED[event.A]")
		look(nil, openfeature.StaleState, "v2.A", "PROVIDER_STALE[]")
		look(nil, openfeature.StaleState, "v2.A")
		look(flags(t, "flags: {event.A: {variants: {v1: v1.A}}}"), openfeature.ReadyState, "v1.A", "PROVIDER_CONFIGURATION_CHANGED[event.A event.B]", "PROVIDER_READY[]")
		if err := api.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		before := reads
		<-time.After(time.Hour)
		if reads != before {
			t.Error("it reads on after its end")
		}
	})
}
