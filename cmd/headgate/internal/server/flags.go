package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/isolated"

	"headgate/internal/errs"
	"headgate/rollout"
	"headgate/rollout/ofrep"
)

// Published gives the flags that rollouts put into force. They take the place of those of flags.yaml with the same key.
type Published func(context.Context) ([]rollout.Flag, error)

// A flagSet is the flags that are in force: those of flags.yaml, and what rollouts published. They are evaluated through
// an OpenFeature client.
type flagSet struct {
	read      func() (*rollout.File, error)
	published Published
	now       func() time.Time
	log       *slog.Logger

	api      *openfeature.EvaluationAPI
	client   *openfeature.Client
	provider *rollout.Provider

	mu       sync.RWMutex
	file     *rollout.File
	revision ofrep.Revision
	changed  chan struct{}
	problem  error // why the flags that are in force are not the latest
}

// openFlags reads the flags, which must be readable at first.
func openFlags(ctx context.Context, read func() (*rollout.File, error), published Published, now func() time.Time, log *slog.Logger) (*flagSet, error) {
	s := &flagSet{read: read, published: published, now: now, log: log, api: isolated.NewAPI(), changed: make(chan struct{})}
	file, err := s.latest(ctx)
	if err != nil {
		return nil, err
	}
	s.provider = rollout.NewProvider(func(context.Context) (*rollout.File, error) { return file, nil })
	if err := s.api.SetProviderAndWait(ctx, s.provider); err != nil {
		return nil, err
	}
	s.client = s.api.NewClient()
	return s, s.put(file)
}

func (s *flagSet) close() error { return s.api.Shutdown(context.Background()) }

// latest reads what there is. No flags.yaml is a file without flags.
func (s *flagSet) latest(ctx context.Context) (*rollout.File, error) {
	read, err := s.read()
	if errs.CodeOf(err) == errs.NotFound {
		read, err = &rollout.File{}, nil
	}
	if err != nil {
		return nil, err
	}
	flags, err := s.published(ctx)
	if err != nil {
		return nil, err
	}
	file := &rollout.File{Path: read.Path, Flags: slices.Clone(read.Flags)}
	for _, f := range flags {
		i := slices.IndexFunc(file.Flags, func(g rollout.Flag) bool { return g.Key == f.Key })
		if i < 0 {
			file.Flags = append(file.Flags, f)
			continue
		}
		file.Flags[i] = f
	}
	return file, nil
}

// put puts flags into force, and tells whoever waits when they are others than before. The revision is a hash of the
// flags, so that all servers have the same one.
func (s *flagSet) put(file *rollout.File) error {
	text, err := json.Marshal(file.Flags)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(text)
	id := hex.EncodeToString(sum[:8])
	s.mu.Lock()
	defer s.mu.Unlock()
	if id == s.revision.ID {
		return nil
	}
	s.provider.Publish(file)
	s.file, s.revision = file, ofrep.Revision{ID: id, At: s.now()}
	close(s.changed)
	s.changed = make(chan struct{})
	return nil
}

// follow takes up changes until the context ends. A file that is broken, or a database that is away, leaves the last good
// flags in force, and is said once.
func (s *flagSet) follow(ctx context.Context, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		file, err := s.latest(ctx)
		if err == nil {
			err = s.put(file)
		}
		if ctx.Err() != nil {
			return nil
		}
		s.mu.Lock()
		before := s.problem
		s.problem = err
		s.mu.Unlock()
		switch {
		case err != nil && (before == nil || before.Error() != err.Error()):
			s.log.Error("the flags can't be read; the last good ones stay in force", "error", err)
		case err == nil && before != nil:
			s.log.Info("the flags can be read again")
		}
	}
}

// trouble is why the flags in force are not the latest, or nil.
func (s *flagSet) trouble() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.problem
}

func (s *flagSet) current() *rollout.File {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.file
}

// Keys are the keys of all flags.
func (s *flagSet) Keys() []string { return s.current().Keys() }

// Revision names the flags in force.
func (s *flagSet) Revision() (ofrep.Revision, <-chan struct{}) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.revision, s.changed
}

// Evaluate asks the OpenFeature client. A disabled flag gives its default variant: what everyone reads.
func (s *flagSet) Evaluate(ctx context.Context, attributes map[string]any, keys ...string) []ofrep.Evaluation {
	target, _ := attributes["targetingKey"].(string)
	about := openfeature.NewEvaluationContext(target, attributes)
	file := s.current()
	out := make([]ofrep.Evaluation, 0, len(keys))
	for _, key := range keys {
		var fallback any = ""
		if f, ok := file.Flag(key); ok {
			fallback = f.Variants[f.Default].Answer()
		}
		switch fallback := fallback.(type) {
		case bool:
			d, err := s.client.BooleanValueDetails(ctx, key, fallback, about)
			out = append(out, evaluationOf(d, err))
		case int64:
			d, err := s.client.IntValueDetails(ctx, key, fallback, about)
			out = append(out, evaluationOf(d, err))
		case string:
			d, err := s.client.StringValueDetails(ctx, key, fallback, about)
			out = append(out, evaluationOf(d, err))
		}
	}
	return out
}

// evaluationOf is what the client said. An error is in the details, too.
func evaluationOf[T any](d openfeature.GenericEvaluationDetails[T], err error) ofrep.Evaluation {
	e := ofrep.Evaluation{Key: d.FlagKey, Value: d.Value, Variant: d.Variant, Reason: string(d.Reason), Metadata: d.FlagMetadata}
	if err != nil {
		e.ErrorCode, e.Detail = string(d.ErrorCode), d.ErrorMessage
		e.Failed = d.ErrorCode == openfeature.ProviderNotReadyCode || d.ErrorCode == openfeature.ProviderFatalCode || d.ErrorCode == openfeature.TypeMismatchCode
	}
	return e
}
