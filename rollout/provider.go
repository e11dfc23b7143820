package rollout

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/open-feature/go-sdk/openfeature"

	"headgate/internal/livestore"
)

// The attributes of an evaluation context that a flag looks at.
const (
	StoreIDAttribute    = "storeId"    // a string: the store whose log the event goes to
	AppVersionAttribute = "appVersion" // the release compiled into the build that would emit
)

// A Provider evaluates the flags of a file in this process, for an OpenFeature client: in headgate serve, and in any other Go
// service. Flags of events are strings, plain ones have the type of their values. It reads the file when OpenFeature
// initializes it; Publish gives it another one. It is safe for concurrent use.
//
// What can't be placed gets the default variant and no error: a context without a store, a version that is missing or
// can't be read. A storeId that is not a string is INVALID_CONTEXT, which gives the caller its own default.
type Provider struct {
	// Every, set before OpenFeature initializes the provider, is after how long the flags are read again; 0 for never. Where
	// they can't be read the last good ones stay in force, and the provider is stale until they can.
	Every time.Duration
	// Tracked, set before as well, is told what the app tracks; nil for nobody.
	Tracked func(ctx context.Context, name string, about openfeature.EvaluationContext, details openfeature.TrackingEventDetails)

	read  func(context.Context) (*File, error)
	flags atomic.Pointer[map[string]*prepared] // nil before there are any

	events chan openfeature.Event

	mu   sync.Mutex
	stop func() // ends the reading and waits; nil where there is none
}

var (
	_ openfeature.FeatureProvider          = (*Provider)(nil)
	_ openfeature.ContextAwareStateHandler = (*Provider)(nil)
	_ openfeature.EventHandler             = (*Provider)(nil)
	_ openfeature.Tracker                  = (*Provider)(nil)
)

// eventsWait is how many events wait for OpenFeature; more, which nobody takes, are left out.
const eventsWait = 16

// NewProvider returns a provider of the flags that read gives, such as [Read] of a path, or [ParseFlagd] of what was fetched.
// One provider belongs to one OpenFeature API.
func NewProvider(read func(context.Context) (*File, error)) *Provider {
	return &Provider{read: read, events: make(chan openfeature.Event, eventsWait)}
}

// Publish puts flags into force, from one evaluation to the next. Where they are others than before OpenFeature's handlers are
// told that the configuration changed, with the flags' keys.
func (p *Provider) Publish(f *File) {
	if changed := p.put(f); len(changed) > 0 {
		p.tell(openfeature.ProviderConfigChange, openfeature.ProviderEventDetails{Message: "other flags are in force", FlagChanges: changed})
	}
}

func (p *Provider) tell(what openfeature.EventType, details openfeature.ProviderEventDetails) (told bool) {
	select {
	case p.events <- openfeature.Event{ProviderName: p.Metadata().Name, EventType: what, ProviderEventDetails: details}:
		return true
	default:
		return false
	}
}

// EventChannel is where OpenFeature hears of what was published.
func (p *Provider) EventChannel() <-chan openfeature.Event { return p.events }

// Metadata names the provider.
func (p *Provider) Metadata() openfeature.Metadata { return openfeature.Metadata{Name: "headgate"} }

// Hooks returns none.
func (p *Provider) Hooks() []openfeature.Hook { return nil }

// InitWithContext reads the flags, and begins to read them again where Every says so. A file that is not there or has a mistake is a [openfeature.ProviderInitError].
func (p *Provider) InitWithContext(ctx context.Context, _ openfeature.EvaluationContext) error {
	f, err := p.read(ctx)
	if err != nil {
		return &openfeature.ProviderInitError{ErrorCode: openfeature.ProviderFatalCode, Message: err.Error()}
	}
	p.put(f)
	p.begin(ctx)
	return nil
}

// put puts flags into force, and returns the keys of those that are others than before.
func (p *Provider) put(f *File) (changed []string) {
	flags := prepare(f)
	before := p.flags.Swap(&flags)
	if before == nil {
		before = &map[string]*prepared{}
	}
	return changes(*before, flags)
}

// ShutdownWithContext ends the reading, and forgets the flags.
func (p *Provider) ShutdownWithContext(context.Context) error {
	p.end()
	p.flags.Store(nil)
	return nil
}

// Init is InitWithContext for an SDK that has no context.
func (p *Provider) Init(c openfeature.EvaluationContext) error {
	return p.InitWithContext(context.Background(), c)
}

// Shutdown is ShutdownWithContext for an SDK that has no context.
func (p *Provider) Shutdown() { _ = p.ShutdownWithContext(context.Background()) } // never fails

// StringEvaluation answers for an event family's flag, with the name of the event to emit, and for a plain one of texts.
func (p *Provider) StringEvaluation(_ context.Context, flag, defaultValue string, flat openfeature.FlattenedContext) openfeature.StringResolutionDetail {
	value, detail := answerAs(p, flag, defaultValue, flat)
	return openfeature.StringResolutionDetail{Value: value, ProviderResolutionDetail: detail}
}

// BooleanEvaluation answers for a plain flag of booleans.
func (p *Provider) BooleanEvaluation(_ context.Context, flag string, defaultValue bool, flat openfeature.FlattenedContext) openfeature.BoolResolutionDetail {
	value, detail := answerAs(p, flag, defaultValue, flat)
	return openfeature.BoolResolutionDetail{Value: value, ProviderResolutionDetail: detail}
}

// FloatEvaluation answers for a plain flag of whole numbers, as IntEvaluation does: some languages have one type of numbers.
func (p *Provider) FloatEvaluation(ctx context.Context, flag string, defaultValue float64, flat openfeature.FlattenedContext) openfeature.FloatResolutionDetail {
	d := p.IntEvaluation(ctx, flag, 0, flat)
	if d.Variant != "" {
		defaultValue = float64(d.Value)
	}
	return openfeature.FloatResolutionDetail{Value: defaultValue, ProviderResolutionDetail: d.ProviderResolutionDetail}
}

// IntEvaluation answers for a plain flag of whole numbers.
func (p *Provider) IntEvaluation(_ context.Context, flag string, defaultValue int64, flat openfeature.FlattenedContext) openfeature.IntResolutionDetail {
	value, detail := answerAs(p, flag, defaultValue, flat)
	return openfeature.IntResolutionDetail{Value: value, ProviderResolutionDetail: detail}
}

// ObjectEvaluation never succeeds: no flag is an object.
func (p *Provider) ObjectEvaluation(_ context.Context, flag string, defaultValue any, _ openfeature.FlattenedContext) openfeature.InterfaceResolutionDetail {
	f, refusal := p.find(flag)
	if f != nil {
		refusal = mismatch(f.Flag, "an object")
	}
	return openfeature.InterfaceResolutionDetail{Value: defaultValue, ProviderResolutionDetail: refusal}
}

// answerAs answers with a value of the type that is asked for, or with the caller's own default.
func answerAs[T any](p *Provider, key string, fallback T, flat openfeature.FlattenedContext) (T, openfeature.ProviderResolutionDetail) {
	f, refusal := p.find(key)
	if f == nil {
		return fallback, refusal
	}
	if _, is := f.Variants[0].Answer().(T); !is {
		return fallback, mismatch(f.Flag, kindOf(fallback))
	}
	var c Caller
	switch id := flat[StoreIDAttribute].(type) {
	case nil:
	case string:
		c.Store = livestore.StoreID(id)
	case livestore.StoreID:
		c.Store = id
	default:
		return fallback, failed(openfeature.NewInvalidContextResolutionError(fmt.Sprintf("%s is a %T, not a string", StoreIDAttribute, id)))
	}
	if v := flat[AppVersionAttribute]; v != nil {
		c.AppVersion = fmt.Sprint(v) // a version like 2 may come as a number; flagd reads it too
	}
	e := f.evaluate(c, f.rules)
	detail := openfeature.ProviderResolutionDetail{Reason: e.Reason, Variant: e.Variant, FlagMetadata: openfeature.FlagMetadata{}}
	for k, v := range f.metadata {
		detail.FlagMetadata[k] = v
	}
	if value, is := e.Value.(T); is && e.Variant != "" {
		return value, detail
	}
	return fallback, detail
}

func mismatch(f *Flag, asked string) openfeature.ProviderResolutionDetail {
	return failed(openfeature.NewTypeMismatchResolutionError(fmt.Sprintf("the flag %s is %s, not %s", f.Key, kindOf(f.Variants[0].Answer()), asked)))
}

// find returns the flag, or why there is none.
func (p *Provider) find(key string) (*prepared, openfeature.ProviderResolutionDetail) {
	flags := p.flags.Load()
	if flags == nil {
		return nil, failed(openfeature.NewProviderNotReadyResolutionError("the flags are not read yet"))
	}
	f, ok := (*flags)[key]
	if !ok {
		return nil, failed(openfeature.NewFlagNotFoundResolutionError(fmt.Sprintf("there is no flag %q", key)))
	}
	return f, openfeature.ProviderResolutionDetail{}
}

func failed(err openfeature.ResolutionError) openfeature.ProviderResolutionDetail {
	return openfeature.ProviderResolutionDetail{ResolutionError: err, Reason: openfeature.ErrorReason}
}
