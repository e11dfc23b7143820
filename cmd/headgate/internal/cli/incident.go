package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/cmd/headgate/internal/operate"
	"headgate/corrective"
	"headgate/internal/atomicfile"
	"headgate/internal/errs"
)

// incidentsPath is where incidents lie, relative to headgate.yaml; a folder each.
const incidentsPath = "headgate/incidents"

// drillsFolder is not an incident's.
const drillsFolder = "drills"

// An incident is one with its folder.
type incident struct {
	*corrective.Incident
	app  *app
	cfg  *config.Config
	part bool // the command is about some of its stores only
}

// path is a file of the incident's folder.
func (i *incident) path(name string) string {
	return filepath.Join(i.cfg.Dir, filepath.FromSlash(incidentsPath), i.ID, name)
}

// shown is that file as it is typed.
func (i *incident) shown(name string) string { return i.app.rel(i.path(name)) }

// incidents reads all of them, open and closed, by id.
func (a *app) incidents(cfg *config.Config) ([]*incident, error) {
	dir := filepath.Join(cfg.Dir, filepath.FromSlash(incidentsPath))
	found, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errs.New(errs.Internal, "can't list the incidents").At("%s", a.rel(dir)).Because(err).Hintf("make the directory readable")
	}
	var out []*incident
	for _, f := range found {
		if !f.IsDir() || f.Name() == drillsFolder {
			continue
		}
		i := &incident{Incident: &corrective.Incident{ID: f.Name()}, app: a, cfg: cfg}
		data, err := os.ReadFile(i.path("incident.yaml"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, errs.New(errs.Internal, "can't read the incident").At("%s", i.shown("incident.yaml")).Because(err).Hintf("make it readable")
		}
		if i.Incident, err = corrective.ParseIncident(f.Name(), i.shown("incident.yaml"), data); err != nil {
			return nil, err
		}
		out = append(out, i)
	}
	return out, nil
}

// openIncidents are those that are not closed, of one environment or of all.
func (a *app) openIncidents(cfg *config.Config, env string) ([]*incident, error) {
	all, err := a.incidents(cfg)
	return slices.DeleteFunc(all, func(i *incident) bool { return i.Closed != nil || env != "" && i.Environment != env }), err
}

// openIncident is the one that is open in an environment, or the only one that is open anywhere; nil where there is none.
func (a *app) openIncident(cfg *config.Config, env string) (*incident, error) {
	open, err := a.openIncidents(cfg, env)
	switch {
	case err != nil || len(open) == 0:
		return nil, err
	case slices.ContainsFunc(open, func(i *incident) bool { return i.Environment != open[0].Environment }):
		var envs []string
		for _, i := range open {
			envs = append(envs, i.Environment)
		}
		slices.Sort(envs)
		envs = slices.Compact(envs)
		e := errs.Invalidf("incidents are open on %s", strings.Join(envs, " and ")).Hintf("--env says which is meant")
		for _, name := range envs {
			e.Then(a.line + " --env " + name)
		}
		return nil, e
	}
	return open[0], nil
}

// neededIncident is openIncident where there must be one.
func (a *app) neededIncident(c *cli.Context) (*incident, error) {
	cfg, err := a.config()
	if err != nil {
		return nil, err
	}
	i, err := a.openIncident(cfg, c.String("env"))
	if err == nil && i == nil {
		where := ""
		if c.String("env") != "" {
			where = " on " + c.String("env")
		}
		err = errs.NotFoundf("no incident is open%s", where).Hintf("say which events are bad, and one is opened").
			Then("headgate rollback --release RELEASE" + onlyEnv(c))
	}
	return i, err
}

// selecting are the flags that say which events are bad.
func selecting() []string { return []string{"release", "event", "where", "since", "client"} }

// incidentOf is the open incident that a command is about, or nil. The command gets from it what it was not told: the
// environment, the schema and, where it takes a selection, the events. One that was told otherwise is about no incident.
func (a *app) incidentOf(c *cli.Context, selects bool) (*incident, error) {
	cfg, err := a.config()
	if err != nil {
		return nil, err
	}
	i, err := a.openIncident(cfg, c.String("env"))
	if i == nil || err != nil || c.String("schema") != "" && c.String("schema") != i.Schema {
		return nil, err
	}
	if selects && slices.ContainsFunc(selecting(), c.IsSet) {
		sel, err := a.selected(c)
		if err != nil || sel.String() != i.Selection.String() {
			return nil, err
		}
	} else if selects {
		if err := i.fill(c); err != nil {
			return nil, err
		}
	}
	err = errors.Join(c.Set("env", i.Environment), c.Set("schema", i.Schema))
	if c.IsSet("store") {
		i.part = !slices.Equal(c.StringSlice("store"), i.Stores)
		return i, err
	}
	for _, id := range i.Stores {
		err = errors.Join(err, c.Set("store", id))
	}
	return i, err
}

// fill gives a command the incident's events, as if they had been typed.
func (i *incident) fill(c *cli.Context) error {
	s := i.Selection
	set := func(name string, values ...string) (err error) {
		for _, v := range values {
			if v != "" {
				err = errors.Join(err, c.Set(name, v))
			}
		}
		return err
	}
	since := ""
	switch {
	case s.Since > 0:
		since = fmt.Sprintf("e%d", s.Since)
	case !s.After.IsZero():
		since = s.After.UTC().Format(time.RFC3339)
	}
	return errors.Join(set("release", s.Release), set("event", s.Events...), set("where", s.Where), set("client", s.Clients...), set("since", since))
}

// refresh reads what others kept since. What takes long asks for it before it says how far a step is.
func (i *incident) refresh() error {
	data, err := os.ReadFile(i.path("incident.yaml"))
	if err != nil {
		return errs.NotFoundf("the incident's file is gone").At("%s", i.shown("incident.yaml")).Because(err).Then("headgate rollback status")
	}
	now, err := corrective.ParseIncident(i.ID, i.shown("incident.yaml"), data)
	if err == nil {
		i.Incident = now
	}
	return err
}

// save writes the incident's file.
func (i *incident) save() error {
	data, err := i.YAML()
	if err != nil {
		return err
	}
	return i.keep("incident.yaml", data)
}

// keep writes a file into the incident's folder.
func (i *incident) keep(name string, data []byte) error {
	path := i.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return errs.New(errs.Internal, "can't make the incident's folder").At("%s", i.app.rel(filepath.Dir(path))).Because(err).Hintf("make the directory writable")
	}
	return atomicfile.Write(path, data, 0o666)
}

// keepJSON writes a report into the incident's folder.
func (i *incident) keepJSON(name string, report any) error {
	data, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	return i.keep(name, append(data, '\n'))
}

// mark says how far a step of the walk is, and saves that.
func (i *incident) mark(step string, state corrective.StepState, note string) error {
	i.Mark(step, state, i.app.by("").Actor, i.app.now(), note)
	return i.save()
}

// record writes what was done into the audit of the incident's environment, here or through its server.
func (i *incident) record(ctx context.Context, action, reason string, note operate.IncidentNote) error {
	env, err := i.cfg.Environment(i.Environment)
	if err != nil {
		return err
	}
	return i.app.withOperationsOf(ctx, env, func(ops operations) error {
		_, err := ops.RecordIncident(ctx, i.ID, action, note, i.app.by(reason))
		return err
	})
}

// command is one of headgate's for the incident's environment, to be typed.
func (i *incident) command(words string) string {
	return i.app.here("headgate " + words + " --env " + i.Environment)
}

// notInFolders is what an event's name may have and a folder's should not.
var notInFolders = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// newIncident opens one, and records who did.
func (a *app) newIncident(ctx context.Context, cfg *config.Config, env config.Environment, schema, bad string, sel corrective.Selection, stores []string, reason string) (*incident, error) {
	what := "events"
	if len(sel.Events) > 0 {
		what = sel.Events[0]
	}
	base := a.now().UTC().Format(time.DateOnly) + "-" + notInFolders.ReplaceAllString(cmp.Or(sel.Release, what), "-")
	i := &incident{app: a, cfg: cfg, Incident: corrective.NewIncident(base, env.Name, schema, bad, sel, a.by("").Actor, a.now(), oneLine(reason))}
	i.Stores = stores
	for n := 2; ; n++ {
		if _, err := os.Lstat(i.path("")); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return nil, errs.New(errs.Internal, "can't make the incident's folder").At("%s", i.shown("")).Because(err)
		}
		i.ID = fmt.Sprintf("%s-%d", base, n)
	}
	if sel.Where != "" {
		sel.Where = "…" // it may quote what users wrote
	}
	if err := i.record(ctx, operate.OpenIncident, i.Reason, operate.IncidentNote{Schema: schema, Selection: sel.String()}); err != nil {
		return nil, err
	}
	return i, i.save()
}
