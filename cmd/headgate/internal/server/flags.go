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

// A FlagFile is the file of flags that people edit.
type FlagFile struct {
	Read  func() (*rollout.File, error) // one that is not there is errs.NotFound
	Stamp func() string                 // another one when the file may have changed; asked often
}

// published are the flags that rollouts put into force. They take the place of those of the file with the same key.
type published interface {
	PublishedFlags(ctx context.Context, env string) ([]rollout.Flag, error)
	// PublishedStamp is another one when they changed. It is asked often.
	PublishedStamp(ctx context.Context, env string) (string, error)
}

// How flags are followed.
const (
	lookTime  = 5 * time.Second  // for one look
	readEvery = 30 * time.Second // even where no stamp changed
)

// A flagSet is the flags that are in force: those of flags.yaml, and what rollouts published. They are evaluated through
// an OpenFeature client.
type flagSet struct {
	edited    FlagFile
	published published
	env       string
	now       func() time.Time
	log       *slog.Logger
	bell      chan struct{} // rung when there may be others
	stamp     string        // of what was read last; follow's alone
	readAt    time.Time     // when that was

	audience *audience // hears who is given flags

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
func openFlags(ctx context.Context, edited FlagFile, p published, env string, now func() time.Time, log *slog.Logger) (*flagSet, error) {
	s := &flagSet{
		edited: edited, published: p, env: env, now: now, log: log, bell: make(chan struct{}, 1), api: isolated.NewAPI(), changed: make(chan struct{}),
	}
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
	read, err := s.edited.Read()
	if errs.CodeOf(err) == errs.NotFound {
		read, err = &rollout.File{}, nil
	}
	if err != nil {
		return nil, err
	}
	flags, err := s.published.PublishedFlags(ctx, s.env)
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

// ring has follow look at once.
func (s *flagSet) ring() {
	select {
	case s.bell <- struct{}{}:
	default: // it will look
	}
}

// follow takes up changes until the context ends. A file that is broken, or a database that is away or does not answer in
// time, leaves the last good flags in force, and is said once.
func (s *flagSet) follow(ctx context.Context, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-s.bell:
		}
		err := s.look(ctx)
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

// look puts the latest flags into force, where there may be others.
func (s *flagSet) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	stamp, err := s.published.PublishedStamp(ctx, s.env)
	if err != nil {
		return err
	}
	stamp = s.edited.Stamp() + " " + stamp // taken before what it stands for is read
	if stamp == s.stamp && s.now().Sub(s.readAt) < readEvery {
		return nil
	}
	file, err := s.latest(ctx)
	if err != nil {
		return err
	}
	if err := s.put(file); err != nil {
		return err
	}
	s.stamp, s.readAt = stamp, s.now()
	return nil
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
	s.mu.RLock()
	file, revision := s.file, s.revision.ID // what is evaluated is this one, or a later one
	s.mu.RUnlock()
	defer s.hear(ctx, attributes, file, revision, keys)
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

// hear tells the audience who was given what.
func (s *flagSet) hear(ctx context.Context, attributes map[string]any, file *rollout.File, revision string, keys []string) {
	if s.audience == nil {
		return
	}
	if len(keys) == len(file.Flags) && len(keys) != 1 {
		s.audience.note(caller(ctx), attributes, revision, "", file.Flags)
		return
	}
	for _, key := range keys {
		if i := slices.IndexFunc(file.Flags, func(f rollout.Flag) bool { return f.Key == key }); i >= 0 {
			s.audience.note(caller(ctx), attributes, revision, key, file.Flags[i:i+1])
		}
	}
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
