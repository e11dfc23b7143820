package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"headgate/internal/errs"
	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/probe"
	"headgate/internal/livestore/schema"
	"headgate/internal/livestore/script"
)

// verifiedLiveStore are the versions whose behaviour headgate's tests prove.
var verifiedLiveStore = []string{"0.4.0"}

// DescribeJob is the name under which a program registers [Describe]'s side in the sandbox.
const DescribeJob = "describe"

// JobDescribe is the sandbox's side of [Describe].
func JobDescribe(_ context.Context, s *script.Session) (any, error) {
	var p describeParams
	if err := s.Params(&p); err != nil {
		return nil, err
	}
	db, err := engine.OpenDB("")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	e, err := engine.Open(s, p.Program, db, script.VMOptions{})
	var problem *engine.ChooseProblem
	if errors.As(err, &problem) {
		return described{Problem: problem}, nil
	}
	if err != nil {
		return nil, err
	}
	defer e.Close()
	raw, err := e.Describe()
	if err != nil {
		return nil, err
	}
	var out described
	if err := json.Unmarshal(raw, &out); err != nil {
		return nil, fmt.Errorf("decode the schema's description: %w", err)
	}
	for _, t := range out.Tables {
		for _, ddl := range t.DDL {
			var refused *engine.SQLError
			if err := db.Exec(ddl, engine.Binds{}); errors.As(err, &refused) && !refused.Machine() {
				return described{Refused: &refusedTable{Table: t.Name, DDL: ddl, Why: refused.Msg}}, nil
			} else if err != nil {
				return nil, fmt.Errorf("create table %s: %w", t.Name, err)
			}
		}
	}
	for i := range out.Queries {
		out.Queries[i].resolve(db)
	}
	app := probe.App{Tables: out.Tables, Events: out.Events, Migrations: out.Migrations}
	for _, m := range out.Materializers {
		app.Materializers = append(app.Materializers, schema.Materializer{Event: m.Event})
	}
	if out.Observed = app.Materializers; p.Unobserved != "" {
		for i := range out.Observed {
			out.Observed[i].Error = p.Unobserved
		}
		return out, nil
	}
	out.Observed, err = probe.Observe(e, app, func() error { return s.Send("alive") })
	return out, err
}

// describeParams start the sandbox's side of [Describe].
type describeParams struct {
	Program engine.Program `json:"program"`
	// Unobserved says why the materializers are not run on sample payloads; empty: they are.
	Unobserved string `json:"unobserved,omitempty"`
}

// Sources are the scripts that the job evaluates.
func (p describeParams) Sources() []string { return p.Program.Sources() }

// evaluate runs the job. Should a materializer take the sandbox down with it on a sample payload, the release is
// described without running any: what it is does not depend on that.
func evaluate(ctx context.Context, l script.Launcher, p engine.Program) (described, error) {
	d, err := script.Run[described](ctx, l, DescribeJob, describeParams{Program: p})
	var f *script.Failure
	if errors.As(err, &f) && f.Kind != script.Threw {
		if d, again := script.Run[described](ctx, l, DescribeJob, describeParams{p, "running the materializers failed: " + f.Error()}); again == nil {
			return d, nil
		}
	}
	return d, err
}

// A refusedTable is a table that SQLite does not create as LiveStore asks for it.
type refusedTable struct{ Table, DDL, Why string }

// described is what the driver says about a schema.
type described struct {
	Refused                      *refusedTable         `json:"refused,omitempty"`
	Problem                      *engine.ChooseProblem `json:"problem,omitempty"`
	Export                       string                `json:"export"`
	DuplicateEvents              []string              `json:"duplicateEvents"`
	LiveStore                    string                `json:"liveStore"`
	StorageFormat                int                   `json:"storageFormat"`
	StateHash                    string                `json:"stateHash"`
	UnknownEventHandling         string                `json:"unknownEventHandling"`
	UnknownEventHandlingExplicit bool                  `json:"unknownEventHandlingExplicit"`
	Migrations                   schema.Migrations     `json:"migrations"`
	Events                       []schema.Event        `json:"events"`
	Tables                       []schema.Table        `json:"tables"`
	Materializers                []struct {
		Event           string   `json:"event"`
		Corrections     []string `json:"corrections"`
		CorrectionTexts []string `json:"correctionTexts"`
	} `json:"materializers"`
	// Observed are the materializers with what running them showed.
	Observed []schema.Materializer `json:"observed"`
	Queries  []describedQuery      `json:"queries"`
}

type describedQuery struct {
	Name  string `json:"name"`
	SQL   string `json:"sql"`
	Hash  string `json:"hash"` // a queryDb definition hides its statement at the head of its hash
	Error string `json:"error"`
}

// resolve finds the statement in a queryDb definition's hash ("SELECT … -0:inbox"): the shortest head before a
// dash that SQLite can prepare.
func (q *describedQuery) resolve(db *engine.DB) {
	if q.Hash == "" || q.SQL != "" {
		return
	}
	for i := 0; i <= len(q.Hash); i++ {
		if i < len(q.Hash) && q.Hash[i] != '-' {
			continue
		}
		head := strings.TrimSpace(q.Hash[:i])
		if head == "" {
			continue
		}
		if db.Prepares(head) {
			q.SQL, q.Hash = head, ""
			return
		}
	}
	q.Hash, q.Error = "", "its SQL is computed while the app runs"
}

// Describe evaluates a script in the sandbox and returns the release that it makes, without version, names and digest.
func Describe(ctx context.Context, l script.Launcher, s *Script, src Source) (*schema.Release, error) {
	d, err := evaluate(ctx, l, engine.Program{Code: s.Code, Export: src.Export})
	if err != nil {
		return nil, s.explain(src, err)
	}
	if d.Problem != nil {
		return nil, chooseError(src, d.Problem)
	}
	if t := d.Refused; t != nil {
		return nil, errs.Invalidf("SQLite refuses to create table %s as LiveStore asks for it: %s", t.Table, t.Why).At("%s", src.Entry).
			Hintf("no client can boot with this schema (a quote in a column's default is a known cause); the statement is %s", t.DDL)
	}
	if len(d.DuplicateEvents) > 0 {
		return nil, errs.Invalidf("two events are named %s: LiveStore keeps only the last", strings.Join(d.DuplicateEvents, " and ")).
			At("%s", src.Entry).Hintf("EV106: give each event a name of its own; a changed event is a new version (v2.…)")
	}
	s.Export = d.Export
	r := &schema.Release{
		FormatVersion: schema.FormatVersion,
		LiveStore: schema.LiveStore{
			Version: d.LiveStore, Effect: s.Effect, StorageFormat: d.StorageFormat,
			Verified: slices.Contains(verifiedLiveStore, d.LiveStore),
		},
		StateHash:                    d.StateHash,
		UnknownEventHandling:         d.UnknownEventHandling,
		UnknownEventHandlingExplicit: d.UnknownEventHandlingExplicit,
		Migrations:                   d.Migrations,
		Tables:                       d.Tables,
		Events:                       d.Events,
		Materializers:                []schema.Materializer{},
		Queries:                      []schema.Query{},
	}
	if r.Adapters, r.Secrets, err = Scan(src); err != nil {
		return nil, fmt.Errorf("scan the app's source: %w", err)
	}
	r.Migrations.AtomicRebuild, r.Migrations.CacheSpillOff = rebuildFacts(r.Migrations.Hooks)
	c := parseClosures(s)
	for i := range r.Events {
		e := &r.Events[i]
		e.Family, e.FamilyVersion = SplitName(e.Name)
		e.Source = c.event(*e)
	}
	corrections, digests := map[string][]string{}, map[string][]string{}
	for _, m := range d.Materializers {
		corrections[m.Event] = m.Corrections
		if len(m.CorrectionTexts) != len(m.Corrections) {
			continue
		}
		for _, text := range m.CorrectionTexts {
			sum := sha256.Sum256([]byte(text))
			digests[m.Event] = append(digests[m.Event], "sha256-"+hex.EncodeToString(sum[:]))
		}
	}
	for _, m := range d.Observed {
		m.Corrections, m.CorrectionDigests = corrections[m.Event], digests[m.Event]
		def := schema.Event{Name: m.Event}
		if e, ok := r.Event(m.Event); ok {
			def = *e
		}
		m.Source = c.materializer(def)
		r.Materializers = append(r.Materializers, m)
	}
	for _, q := range d.Queries {
		r.Queries = append(r.Queries, schema.Query{Name: q.Name, SQL: q.SQL, Error: q.Error})
	}
	sort.Slice(r.Events, func(i, j int) bool { return r.Events[i].Name < r.Events[j].Name })
	sort.Slice(r.Materializers, func(i, j int) bool { return r.Materializers[i].Event < r.Materializers[j].Event })
	sort.Slice(r.Queries, func(i, j int) bool { return r.Queries[i].Name < r.Queries[j].Name })
	data, err := r.Encode()
	if err != nil {
		return nil, err
	}
	return schema.Decode(data) // what is described now equals what is read from a file later
}

var versioned = regexp.MustCompile(`^v([0-9]+)\.(.+)$`)

// SplitName splits "v2.TodoCreated" into its family and version; the version is 0 for a name without a prefix.
func SplitName(name string) (family string, version int) {
	m := versioned.FindStringSubmatch(name)
	if m == nil {
		return name, 0
	}
	v, err := strconv.Atoi(m[1])
	if err != nil {
		return name, 0
	}
	return m[2], v
}

var (
	beginRE  = regexp.MustCompile(`(?i)^\s*BEGIN\b`)
	commitRE = regexp.MustCompile(`(?i)^\s*(COMMIT|END)\b`)
	spillRE  = regexp.MustCompile(`(?i)^\s*PRAGMA\s+(main\s*\.\s*)?cache_spill\s*(=|\()\s*(OFF|0|FALSE|NO)\b`)
)

func rebuildFacts(hooks []schema.Hook) (atomic, spillOff bool) {
	begins, commits := false, false
	for _, h := range hooks {
		for _, text := range h.Statements {
			for s := range strings.SplitSeq(text, ";") {
				begins = begins || h.Name == "init" && beginRE.MatchString(s)
				commits = commits || h.Name == "post" && commitRE.MatchString(s)
				spillOff = spillOff || h.Name == "init" && spillRE.MatchString(s)
			}
		}
	}
	return begins && commits, spillOff
}

// explain turns a failure of the app's code into an error that names its TypeScript file and line.
func (s *Script) explain(src Source, err error) error {
	var f *script.Failure
	if !errors.As(err, &f) {
		return err
	}
	e := errs.New(errs.Unverifiable, "the schema can't be evaluated: %s", f.Error()).At("%s", src.Entry)
	if strings.Contains(f.Message, "Duplicate event name: ") {
		e.Code = errs.Invalid
		e.Hintf("EV106: give each event a name of its own; a changed event is a new version (v2.…)")
	}
	if place := s.Locate(f.Stack); place != "" {
		e.Where = place
	}
	switch {
	case e.Hint != "":
	case f.Kind == script.TooLong:
		e.Hintf("evaluating the schema must end: is there a loop at module level, or work that belongs into the running app?")
	case f.Kind == script.TooLarge:
		e.Hintf("evaluating the schema must not build large data")
	case browserOnly.MatchString(f.Message):
		e.Hintf("modules of a schema are evaluated in workers too, where there is no window and no document; read them when they are needed, or guard with typeof")
	case f.Name == "ReferenceError" && strings.Contains(f.Message, "is not initialized"):
		e.Hintf("modules import each other in a circle and one uses the other before it is evaluated; move what both need into a third module")
	default:
		e.Hintf("headgate evaluates %s and what it imports, without Node, network, files and environment variables; code that needs those must run only when it is called, or have a default", src.Entry)
	}
	return e
}

// browserOnly matches what an engine says about names that only a page has.
var browserOnly = regexp.MustCompile(`^'?(window|document|location|navigator|screen|history|HTMLElement|matchMedia|alert)'? is not defined`)

func chooseError(src Source, p *engine.ChooseProblem) error {
	switch p.Kind {
	case "no-export":
		e := errs.NotFoundf("there is no export %q", src.Export).At("%s", src.Entry)
		if len(p.Schemas) > 0 {
			return e.Hintf("its LiveStore schemas: %s; set schemas.<name>.export in headgate.yaml", strings.Join(p.Schemas, ", "))
		}
		return e.Hintf("it exports: %s", orNone(p.Exports))
	case "several-schemas":
		return errs.Invalidf("the module exports several LiveStore schemas: %s", strings.Join(p.Schemas, ", ")).At("%s", src.Entry).
			Hintf("say which one with schemas.<name>.export in headgate.yaml; an app with several store kinds has several entries under schemas")
	case "not-a-schema":
		e := errs.Invalidf("the export %q is not a LiveStore schema (it is a %s)", src.Export, p.Type).At("%s", src.Entry)
		if len(p.Schemas) > 0 {
			return e.Hintf("these are: %s", strings.Join(p.Schemas, ", "))
		}
		return e.Hintf("it must be what makeSchema({ events, state }) returns")
	}
	return errs.Invalidf("the module exports no LiveStore schema").At("%s", src.Entry).
		Hintf("export what makeSchema({ events, state }) returns; it exports: %s", orNone(p.Exports))
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}
