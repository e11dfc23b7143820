package rollout

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/open-feature/go-sdk/openfeature"

	"headgate/internal/livestore"
)

// The attributes of an evaluation context that a flag looks at.
const (
	StoreIDAttribute    = "storeId"    // a string: the store whose log the event goes to
	AppVersionAttribute = "appVersion" // the release compiled into the build that would emit
)

// A Provider evaluates the flags of a file in this process, for an OpenFeature client. All flags are strings. It reads
// the file when OpenFeature initializes it; Publish gives it another one. It is safe for concurrent use.
//
// What can't be placed gets the default variant and no error: a context without a store, a version that is missing or
// can't be read. A storeId that is not a string is INVALID_CONTEXT, which gives the caller its own default.
type Provider struct {
	read func(context.Context) (*File, error)
	file atomic.Pointer[File]

	events chan openfeature.Event
}

var (
	_ openfeature.FeatureProvider          = (*Provider)(nil)
	_ openfeature.ContextAwareStateHandler = (*Provider)(nil)
	_ openfeature.EventHandler             = (*Provider)(nil)
)

// NewProvider returns a provider of the flags that read gives, such as [Read] of a path. One provider belongs to one
// OpenFeature API.
func NewProvider(read func(context.Context) (*File, error)) *Provider {
	return &Provider{read: read, events: make(chan openfeature.Event, 1)}
}

// Publish puts other flags into force, from one evaluation to the next, and tells OpenFeature's handlers that the
// configuration changed. While several changes wait to be told they are told as one.
func (p *Provider) Publish(f *File) {
	p.file.Store(f)
	select {
	case p.events <- openfeature.Event{
		ProviderName: p.Metadata().Name, EventType: openfeature.ProviderConfigChange,
		ProviderEventDetails: openfeature.ProviderEventDetails{Message: "other flags are in force"},
	}:
	default:
	}
}

// EventChannel is where OpenFeature hears of what was published.
func (p *Provider) EventChannel() <-chan openfeature.Event { return p.events }

// Metadata names the provider.
func (p *Provider) Metadata() openfeature.Metadata { return openfeature.Metadata{Name: "headgate"} }

// Hooks returns none.
func (p *Provider) Hooks() []openfeature.Hook { return nil }

// InitWithContext reads the flags. A file that is not there or has a mistake is a [openfeature.ProviderInitError].
func (p *Provider) InitWithContext(ctx context.Context, _ openfeature.EvaluationContext) error {
	f, err := p.read(ctx)
	if err != nil {
		return &openfeature.ProviderInitError{ErrorCode: openfeature.ProviderFatalCode, Message: err.Error()}
	}
	p.file.Store(f)
	return nil
}

// ShutdownWithContext forgets the flags.
func (p *Provider) ShutdownWithContext(context.Context) error {
	p.file.Store(nil)
	return nil
}

// Init is InitWithContext for an SDK that has no context.
func (p *Provider) Init(c openfeature.EvaluationContext) error {
	return p.InitWithContext(context.Background(), c)
}

// Shutdown is ShutdownWithContext for an SDK that has no context.
func (p *Provider) Shutdown() { p.file.Store(nil) }

// StringEvaluation answers for an event family's flag: the name of the event to emit.
func (p *Provider) StringEvaluation(_ context.Context, flag, defaultValue string, flat openfeature.FlattenedContext) openfeature.StringResolutionDetail {
	value, detail := p.resolve(flag, flat)
	if value == "" {
		value = defaultValue
	}
	return openfeature.StringResolutionDetail{Value: value, ProviderResolutionDetail: detail}
}

// BooleanEvaluation never succeeds: no flag is a boolean.
func (p *Provider) BooleanEvaluation(_ context.Context, flag string, defaultValue bool, _ openfeature.FlattenedContext) openfeature.BoolResolutionDetail {
	return openfeature.BoolResolutionDetail{Value: defaultValue, ProviderResolutionDetail: p.mismatch(flag, "a boolean")}
}

// FloatEvaluation never succeeds: no flag is a number.
func (p *Provider) FloatEvaluation(_ context.Context, flag string, defaultValue float64, _ openfeature.FlattenedContext) openfeature.FloatResolutionDetail {
	return openfeature.FloatResolutionDetail{Value: defaultValue, ProviderResolutionDetail: p.mismatch(flag, "a number")}
}

// IntEvaluation never succeeds: no flag is a number.
func (p *Provider) IntEvaluation(_ context.Context, flag string, defaultValue int64, _ openfeature.FlattenedContext) openfeature.IntResolutionDetail {
	return openfeature.IntResolutionDetail{Value: defaultValue, ProviderResolutionDetail: p.mismatch(flag, "a number")}
}

// ObjectEvaluation never succeeds: no flag is an object.
func (p *Provider) ObjectEvaluation(_ context.Context, flag string, defaultValue any, _ openfeature.FlattenedContext) openfeature.InterfaceResolutionDetail {
	return openfeature.InterfaceResolutionDetail{Value: defaultValue, ProviderResolutionDetail: p.mismatch(flag, "an object")}
}

// resolve returns the event's name, or "" where the caller's own default holds.
func (p *Provider) resolve(key string, flat openfeature.FlattenedContext) (string, openfeature.ProviderResolutionDetail) {
	f, refusal := p.find(key)
	if f == nil {
		return "", refusal
	}
	var c Caller
	switch id := flat[StoreIDAttribute].(type) {
	case nil:
	case string:
		c.Store = livestore.StoreID(id)
	case livestore.StoreID:
		c.Store = id
	default:
		return "", failed(openfeature.NewInvalidContextResolutionError(fmt.Sprintf("%s is a %T, not a string", StoreIDAttribute, id)))
	}
	if v := flat[AppVersionAttribute]; v != nil {
		c.AppVersion = fmt.Sprint(v) // a version like 2 may come as a number; flagd reads it too
	}
	e := f.Evaluate(c)
	detail := openfeature.ProviderResolutionDetail{Reason: e.Reason, Variant: e.Variant, FlagMetadata: openfeature.FlagMetadata{}}
	for k, v := range f.metadata() {
		detail.FlagMetadata[k] = v
	}
	return e.Value, detail
}

func (p *Provider) mismatch(key, asked string) openfeature.ProviderResolutionDetail {
	if f, refusal := p.find(key); f == nil {
		return refusal
	}
	return failed(openfeature.NewTypeMismatchResolutionError(fmt.Sprintf("the flag %s is a string, not %s", key, asked)))
}

// find returns the flag, or why there is none.
func (p *Provider) find(key string) (*Flag, openfeature.ProviderResolutionDetail) {
	file := p.file.Load()
	if file == nil {
		return nil, failed(openfeature.NewProviderNotReadyResolutionError("the flags are not read yet"))
	}
	f, ok := file.Flag(key)
	if !ok {
		return nil, failed(openfeature.NewFlagNotFoundResolutionError(fmt.Sprintf("there is no flag %q", key)))
	}
	return f, openfeature.ProviderResolutionDetail{}
}

func failed(err openfeature.ResolutionError) openfeature.ProviderResolutionDetail {
	return openfeature.ProviderResolutionDetail{ResolutionError: err, Reason: openfeature.ErrorReason}
}
