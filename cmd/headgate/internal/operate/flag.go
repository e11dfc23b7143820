package operate

import (
	"context"
	"slices"
	"strings"

	"headgate/cmd/headgate/internal/config"
	"headgate/cmd/headgate/internal/suggest"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/rollout"
)

// A FlagQuestion asks which version of an event is emitted.
type FlagQuestion struct {
	Flag       string            // its key, with or without the prefix
	Store      livestore.StoreID // empty for all of the environment's
	AppVersion string            // of the build that would emit
}

// An Evaluated flag is what one store gets.
type Evaluated struct {
	Flag       string            `json:"flag"`
	Store      livestore.StoreID `json:"store"`
	AppVersion string            `json:"appVersion"`
	Value      any               `json:"value"` // an event's name, or a plain value; an empty text when the flag is disabled
	Variant    string            `json:"variant"`
	Reason     string            `json:"reason"`
	Why        string            `json:"why"`
}

// EvaluateFlag says what the environment's stores get from the flags that people edit and the rollouts published.
func (r Rollouts) EvaluateFlag(ctx context.Context, q FlagQuestion) ([]Evaluated, error) {
	file, err := r.PublishedFile(ctx)
	if err != nil {
		return nil, err
	}
	return r.EvaluateFlagOf(ctx, file, q)
}

// PublishedFile is what people edit together with what the environment's rollouts published, for which no file is needed.
// A flag of both is errs.Findings.
func (r Rollouts) PublishedFile(ctx context.Context) (*rollout.File, error) {
	edited, missing := r.Flags()
	if missing != nil && errs.CodeOf(missing) != errs.NotFound {
		return nil, missing
	}
	published, err := r.DB.PublishedFlags(ctx, r.Name)
	if err != nil {
		return nil, err
	}
	if len(published) == 0 && missing != nil {
		return nil, missing
	}
	file := &rollout.File{Path: rollout.FileName}
	if edited != nil {
		file.Path, file.Flags = edited.Path, slices.Clone(edited.Flags)
	}
	for _, f := range published {
		if other, there := file.Flag(f.Key); there {
			return nil, errs.New(errs.Findings, "RO101: %s is published by the rollout %s too", f.Key, f.Rollout).At("%s:%d", r.Place(file.Path), other.Line).
				Hintf("remove it from the file: the rollout says who gets it").Then("headgate rollout check " + f.Rollout + " --env " + r.Name)
		}
		file.Flags = append(file.Flags, f)
	}
	return file, nil
}

// EvaluateFlagOf is EvaluateFlag for flags that are known. A store that is asked for must be one of the environment's.
func (r Rollouts) EvaluateFlagOf(ctx context.Context, file *rollout.File, q FlagQuestion) ([]Evaluated, error) {
	f, err := FlagNamed(file, q.Flag)
	if err != nil {
		return nil, err
	}
	all, err := r.Inventory(ctx)
	if err != nil {
		return nil, err
	}
	stores, unknown := storesAsked(all, f.Schema, q.Store, r.Name)
	if unknown != nil {
		return nil, unknown.At("%s", r.Where)
	}
	out := []Evaluated{}
	for _, s := range stores {
		out = append(out, Evaluate(f, s, q.AppVersion))
	}
	return out, nil
}

// Evaluate says what a store gets.
func Evaluate(f *rollout.Flag, store livestore.StoreID, appVersion string) Evaluated {
	e := f.Evaluate(rollout.Caller{Store: store, AppVersion: appVersion})
	return Evaluated{f.Key, store, appVersion, e.Value, e.Variant, string(e.Reason), e.Why}
}

// FlagNamed returns the flag that was typed, with its prefix or without.
func FlagNamed(file *rollout.File, name string) (*rollout.Flag, error) {
	for _, key := range []string{name, rollout.KeyPrefix + name} {
		if f, ok := file.Flag(key); ok {
			return f, nil
		}
	}
	keys := file.Keys()
	err := errs.NotFoundf("there is no flag %q", name).At("%s", file.Path).Hintf("there are: %s", strings.Join(keys, ", ")).
		Then("headgate flags check")
	if near := suggest.Nearest(rollout.KeyPrefix+strings.TrimPrefix(name, rollout.KeyPrefix), keys); near != "" {
		err.Hintf("did you mean %s?", near)
	}
	return nil, err
}

// storesAsked are all of an environment's stores of a schema, "" for any, or the one that is named.
func storesAsked(all []config.Store, schema string, named livestore.StoreID, env string) ([]livestore.StoreID, *errs.Error) {
	const shown = 20
	var known []livestore.StoreID
	var words []string
	for _, s := range all {
		if s.Schema != schema && schema != "" {
			continue
		}
		known, words = append(known, s.ID), append(words, string(s.ID))
	}
	switch {
	case len(known) == 0:
		return nil, errs.NotFoundf("environment %s has no store of the flag's schema", env).Hintf("name a store with --store, without --env")
	case named == "":
		return known, nil
	case slices.Contains(known, named):
		return []livestore.StoreID{named}, nil
	}
	if n := len(words); n > shown {
		words = append(words[:shown], "…")
	}
	return nil, errs.NotFoundf("environment %s has no store %q of the flag's schema", env, named).
		Hintf("there are: %s; without --env any store can be asked for", strings.Join(words, ", "))
}
