package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"headgate/cmd/headgate/internal/config"
	"headgate/corrective/doctor"
	"headgate/internal/codegen"
	"headgate/internal/errs"
	"headgate/internal/livestore/schema"
	"headgate/planner"
)

const doctorPage = "headgate help generate"

// diagnoseApp looks at the generated files, the app's modules and its code as it lies here. What would be deployed comes by
// schema, those left out whose code can't be read.
func (a *app) diagnoseApp(ctx context.Context, cfg *config.Config) (map[string]*schema.Release, []doctor.Finding, error) {
	w := codegen.Workspace{Dir: cfg.Dir, Releases: cfg.Releases}
	m, err := codegen.Load(w.ManifestFile())
	if err != nil {
		return nil, nil, err
	}
	usage, err := w.Usage(ctx)
	if err != nil {
		return nil, nil, err
	}
	found, err := diagnoseWorker(w, m, usage)
	if err != nil {
		return nil, nil, err
	}
	deployed := map[string]*schema.Release{}
	for _, s := range cfg.Schemas {
		f, err := diagnoseSchema(w, m, s.Name)
		if err != nil {
			return nil, nil, err
		}
		found = append(found, f)
		b, err := a.evaluate(ctx, cfg, s, cfg.Dir, workingTree)
		if ctx.Err() != nil {
			return nil, nil, context.Cause(ctx)
		}
		if err != nil {
			found = append(found, unreadable(s, err))
			continue
		}
		deployed[s.Name] = b.Release
		code, err := a.diagnoseCode(cfg, s, b.Release, usage)
		if err != nil {
			return nil, nil, err
		}
		found = append(found, code...)
	}
	found = append(found, diagnoseUse(m, usage)...)
	for i := range found {
		if !found[i].OK && found[i].Severity == "" {
			found[i].Severity = planner.Warning
		}
	}
	return deployed, found, nil
}

// unreadable is about code that can't be evaluated.
func unreadable(s config.Schema, err error) doctor.Finding {
	f := doctor.Finding{
		Check: "schema", Severity: planner.Error, Where: s.EntryAsWritten, Text: "the schema can't be read: " + err.Error(),
		Next: "headgate check --schema " + s.Name,
	}
	if e := errs.As(err); e != nil {
		f.Repair = e.Hint
		if len(e.Next) > 0 {
			f.Next = e.Next[0]
		}
	}
	return f
}

// diagnoseCode is about a schema's own code: does a rebuild survive an interruption, and what does the adapter do by
// itself?
func (a *app) diagnoseCode(cfg *config.Config, s config.Schema, r *schema.Release, u codegen.Usage) ([]doctor.Finding, error) {
	var adapters []string
	for _, ad := range s.Adapters {
		adapters = append(adapters, string(ad))
	}
	hooks, web := planner.RebuildGaps(r, adapters)
	rebuild := doctor.Finding{Check: "rebuild-hooks", OK: true, Where: s.EntryAsWritten, Text: "a rebuild that is interrupted leaves nothing behind"}
	switch {
	case r.Migrations.Strategy == "manual":
		rebuild.Text = "migrations are manual: no state is rebuilt"
	case !hooks:
		rebuild.OK, rebuild.Code, rebuild.Severity = false, "ST113", planner.Error
		rebuild.Text = "the rebuild hooks are absent: a rebuild that is interrupted counts as complete, with rows missing for good"
		rebuild.Repair = "Spread the schema through the helper: makeState(withHeadgate({ tables, materializers }))"
		rebuild.Next = "headgate generate"
	}
	found := []doctor.Finding{rebuild}
	for _, gap := range web {
		found = append(found, doctor.Finding{
			Check: "web-rebuild", Code: "ST113", Where: s.EntryAsWritten, Text: gap + ": a browser that is killed can leave a state that does not open",
			Repair: "Spread headgateWebAdapterOptions into makePersistedAdapter, and withHeadgate into the schema", Next: "headgate generate",
		})
	}
	check := doctor.Finding{Check: "startup-check", OK: len(u.Checked) > 0, Where: strings.Join(u.Checked, ", "), Text: "states that a rebuild left partial are found at start"}
	if !check.OK {
		check.Text = "no module calls withStartupCheck(…): a state that lacks events at its end is taken for a whole one, and on the web what is committed then is lost"
		check.Repair, check.Next = "Go around the adapter with it: withStartupCheck(makeAdapter({ storage, … }), storage)", doctorPage
	}
	found = append(found, check)
	suppressions, err := a.suppressions(cfg)
	if err != nil {
		return nil, err
	}
	report := planner.Check(planner.Input{To: r, Profile: planner.ProfileFleet, Suppressions: suppressions, Now: a.now()})
	adapter := doctor.Finding{Check: "adapter", OK: true, Text: "what the adapters do when a backend was reset, or a sync ends, is chosen"}
	for _, f := range report.Failing(planner.Warning) {
		if f.Code != "AD101" && f.Code != "AD102" && f.Code != "AD103" {
			continue // headgate check is about the others
		}
		rule, err := planner.RuleFor(string(f.Code))
		if err != nil {
			return nil, err
		}
		adapter.OK = false
		found = append(found, doctor.Finding{
			Check: "adapter", Code: f.Code, Severity: f.Severity, Where: f.Location.String(), Text: f.Message,
			Evidence: []string{rule.Breaks}, Repair: rule.Fix, Next: "headgate help finding " + string(f.Code),
		})
	}
	if adapter.OK {
		found = append(found, adapter)
	}
	return found, nil
}

func diagnoseWorker(w codegen.Workspace, m *codegen.Manifest, u codegen.Usage) ([]doctor.Finding, error) {
	d := doctor.Finding{Check: "worker", Where: codegen.WorkerFileName}
	if m.Worker == nil {
		entry := "FILE"
		if len(u.Backends)+len(u.Wrapped) > 0 {
			entry = append(u.Backends, u.Wrapped...)[0]
		}
		d.Text = "the sync backend is not wrapped, so that nobody knows who reads"
		d.Next = "headgate generate --worker " + entry
		return []doctor.Finding{d}, nil
	}
	f, err := w.WorkerFile(m)
	if err != nil {
		return nil, err
	}
	d.Where, d.OK, d.Text = m.Worker.File, f.Status == codegen.Current, "the wrapper of the sync backend is "+string(f.Status)
	if !d.OK {
		d.Next = "headgate generate"
	}
	use := doctor.Finding{Check: "worker-used", Where: m.Worker.Entry, OK: len(u.Wrapped) > 0, Text: "the backend imports the wrapper"}
	if !use.OK {
		use.Text, use.Next = "the backend does not import ./"+codegen.WorkerFileName, doctorPage
	}
	all := []doctor.Finding{d, use}
	for _, bare := range u.Backends {
		all = append(all, doctor.Finding{
			Check: "worker-bare", Where: bare, Next: doctorPage,
			Text: "imports @livestore/sync-cf/cf-worker past the wrapper",
		})
	}
	return all, nil
}

func diagnoseSchema(w codegen.Workspace, m *codegen.Manifest, name string) (doctor.Finding, error) {
	d := doctor.Finding{Check: "helper"}
	s, ok := m.Schemas[name]
	if !ok || s.Release == "" {
		d.Text = "schema " + name + ": the app does not say which release it is"
		d.Next = "headgate generate --release VERSION --schema " + name
		return d, nil
	}
	f, err := w.File(m, name)
	if err != nil {
		return d, err
	}
	d.Where, d.OK, d.Text = s.File, f.Status == codegen.Current, fmt.Sprintf("release %s, the file is %s", s.Release, f.Status)
	if err := w.RaiseRelease(name, &s, ""); err != nil {
		return d, err
	}
	if was := m.Schemas[name].Release; s.Release != was {
		d.OK, d.Text = false, fmt.Sprintf("the app says that it is %s, but %s is recorded", was, s.Release)
	}
	if !d.OK {
		d.Next = "headgate generate"
	}
	return d, nil
}

// diagnoseUse is about the app's modules, once it has the helper.
func diagnoseUse(m *codegen.Manifest, u codegen.Usage) []doctor.Finding {
	has := false
	for _, s := range m.Schemas {
		has = has || s.Release != ""
	}
	if !has {
		return nil
	}
	var all []doctor.Finding
	for _, x := range []struct {
		check   doctor.Check
		yes, no string
		in      []string
	}{
		{"payload", "the sync payload says who the client is", "no module sends syncIdentity(…) in the sync payload: the backend sees clients without a release", u.Identity},
		{"stamp", "the ids with the release are used", "no module takes its ids from identityOf(…): events don't name the release that wrote them", u.Stamped},
	} {
		d := doctor.Finding{Check: x.check, OK: len(x.in) > 0, Where: strings.Join(x.in, ", "), Text: x.yes}
		if !d.OK {
			d.Text, d.Next = x.no, doctorPage
		}
		all = append(all, d)
	}
	return all
}

// diagnoseBackend asks the environment's sync backend about its wrapper: nothing of a store is touched, and no token is sent.
func diagnoseBackend(ctx context.Context, env config.Environment) []doctor.Finding {
	log := env.Log
	for _, s := range env.Stores {
		if log.Address == "" {
			log = s.Log
		}
	}
	d := doctor.Finding{Check: "backend", Severity: planner.Warning, Where: "environment " + env.Name, Next: doctorPage}
	if log.Kind != "sync-cf" && log.Kind != "sync-cf+http" {
		d.OK, d.Severity, d.Next, d.Text = true, "", "", "it has no sync-cf backend, which alone can be wrapped"
		return []doctor.Finding{d}
	}
	about, err := askAbout(ctx, log.Address)
	switch {
	case err != nil:
		d.Text, d.Next = "the sync backend can't be reached", "headgate doctor --env "+env.Name
	case !about.Wrapped:
		d.Text = "the sync backend runs without the wrapper: deploy it"
	case !about.Reports:
		d.Text = "the wrapper runs there, but reports to nobody: set HEADGATE_URL and HEADGATE_TOKEN"
	case len(about.BrokenFloors) > 0:
		d.Text = "the Worker's HEADGATE_FLOOR has what is no version, and holds nobody to it: " + strings.Join(about.BrokenFloors, ", ")
	default:
		d.OK, d.Severity, d.Next, d.Text = true, "", "", "the wrapper runs in the sync backend, and reports"
	}
	return []doctor.Finding{d}
}

type aboutBackend struct {
	Wrapped bool `json:"wrapped"`
	Reports bool `json:"reports"`
	// BrokenFloors are the parts of the Worker's HEADGATE_FLOOR that are no versions.
	BrokenFloors []string `json:"brokenFloors"`
}

func askAbout(ctx context.Context, address string) (about aboutBackend, err error) {
	u, err := url.Parse(httpAddress(address))
	if err != nil {
		return about, err
	}
	u.Path, u.RawQuery, u.User = "/headgate/about", "", nil
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return about, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return about, err
	}
	defer res.Body.Close() //nolint:errcheck // it was read
	// Whatever else answers there is a backend without the wrapper.
	if res.StatusCode == http.StatusOK {
		_ = json.NewDecoder(io.LimitReader(res.Body, 4096)).Decode(&about)
	}
	return about, nil
}

// httpAddress is a sync backend's address for requests, whatever its scheme.
func httpAddress(address string) string {
	if rest, found := strings.CutPrefix(address, "ws"); found {
		return "http" + rest
	}
	return address
}
