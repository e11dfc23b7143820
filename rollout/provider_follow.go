package rollout

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/open-feature/go-sdk/openfeature"
)

// begin has the flags read again and again, until end.
func (p *Provider) begin(ctx context.Context) {
	p.end()
	if p.Every <= 0 {
		return
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stop = func() {
		cancel()
		<-done
	}
	go func() {
		defer close(done)
		p.follow(ctx)
	}()
}

func (p *Provider) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stop != nil {
		p.stop()
		p.stop = nil
	}
}

// follow puts what it reads into force, and tells OpenFeature when it begins or ceases to be stale.
func (p *Provider) follow(ctx context.Context) {
	tick := time.NewTicker(p.Every)
	defer tick.Stop()
	stale := false // as OpenFeature was told
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		f, err := p.read(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			stale = stale || p.tell(openfeature.ProviderStale, openfeature.ProviderEventDetails{Message: "the last good flags are in force: " + err.Error()})
		default:
			p.Publish(f)
			stale = stale && !p.tell(openfeature.ProviderReady, openfeature.ProviderEventDetails{Message: "the flags can be read again"})
		}
	}
}

// Track hands what the app tracks on.
func (p *Provider) Track(ctx context.Context, name string, about openfeature.EvaluationContext, details openfeature.TrackingEventDetails) {
	if p.Tracked != nil {
		p.Tracked(ctx, name, about, details)
	}
}

// changes are the keys of the flags that are not the same, wherever they stand in their files.
func changes(before, after map[string]*prepared) []string {
	var out []string
	for key, f := range after {
		if old, ok := before[key]; !ok || !reflect.DeepEqual(old.placeless(), f.placeless()) {
			out = append(out, key)
		}
	}
	for key := range maps.Keys(before) {
		if _, ok := after[key]; !ok {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out
}

// placeless is the flag without its lines.
func (f *Flag) placeless() Flag {
	out := *f
	out.Line, out.Variants = 0, slices.Clone(f.Variants)
	for i := range out.Variants {
		out.Variants[i].Line = 0
	}
	return out
}
