package probe

import (
	"context"
	"encoding/json"
	"errors"

	"headgate/internal/livestore"
	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/script"
)

// IdentifyJob is the name under which a program registers [JobIdentify] in the sandbox.
const IdentifyJob = "probe.identify"

// An Identity is how the generated corrections tell an event from all others, beside its number.
type Identity struct {
	// Digest is 16 hexadecimal digits over name, writer and arguments, as the release encodes them again once it has
	// decoded them; as they are in the log where it does not decode them.
	Digest string `json:"digest"`
	// Args are the arguments as clients of the release see them: encoded again, as for the digest.
	Args json.RawMessage `json:"args"`
	// Undefined is true where the release has no such event, Unreadable where it does not decode this one.
	Undefined  bool `json:"undefined,omitempty"`
	Unreadable bool `json:"unreadable,omitempty"`
	// Unwritable is true where the release decodes this one, and can't encode it again.
	Unwritable bool `json:"unwritable,omitempty"`
}

// JobIdentify is the sandbox's side of [Identifier].
func JobIdentify(_ context.Context, s *script.Session) (any, error) {
	return answerBatches(s, func(e *engine.Engine, batch string) (any, error) {
		var ids []Identity
		err := e.Identify(batch, &ids)
		return ids, err
	})
}

// An Identifier is a sandbox that identifies events under one release. It is for one goroutine at a time.
type Identifier struct {
	proc *script.Proc
}

// NewIdentifier starts the sandbox. The caller closes it.
func NewIdentifier(ctx context.Context, l script.Launcher, p engine.Program) (*Identifier, error) {
	proc, err := l.Start(ctx, IdentifyJob, decodeParams{p})
	if err != nil {
		return nil, err
	}
	return &Identifier{proc}, nil
}

// Close ends the sandbox.
func (i *Identifier) Close() { i.proc.Close() }

// Identify returns the identities of events, in their order.
func (i *Identifier) Identify(ctx context.Context, events []livestore.Event) ([]Identity, error) {
	text := []byte{0, '['} // the first byte is the frame's
	for n, e := range events {
		if n > 0 {
			text = append(text, ',')
		}
		text = engine.AppendEvent(text, e)
	}
	var out []Identity
	if err := exchange(ctx, i.proc, append(text, ']'), &out); err != nil {
		return nil, err
	}
	if len(out) != len(events) {
		return nil, errors.New("probe: the sandbox did not identify every event")
	}
	return out, nil
}
