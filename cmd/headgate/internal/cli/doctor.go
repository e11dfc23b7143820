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

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/codegen"
	"headgate/internal/errs"
)

func (a *app) doctorCommand() *cli.Command {
	return &cli.Command{
		Name:      "doctor",
		Category:  plumbing,
		Usage:     "what the app lacks for headgate to see who is out there",
		UsageText: "headgate doctor\nheadgate doctor --env prod --format json",
		Description: `Looks at the generated files and at the app's own modules, which it does not run: is the sync backend wrapped, does
the app say which release it is, is that sent to the backend and stamped into each event. With --env it also asks the
environment's sync backend whether the wrapper runs there, and whether it reports. Each warning has its next command.
Exit 3 when there is one. A rollout can't know its readers without these: a store that nobody reports is never eligible.`,
		Flags:  []cli.Flag{&cli.StringFlag{Name: "env", Usage: "also ask the sync backend of the environment `ENV`"}},
		Action: a.doctor,
	}
}

// A diagnosis is one thing that doctor looked at.
type diagnosis struct {
	Check string `json:"check"`
	OK    bool   `json:"ok"`
	Where string `json:"where,omitempty"`
	Text  string `json:"text"`
	Next  string `json:"next,omitempty"`
}

func (a *app) doctor(c *cli.Context) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	w := codegen.Workspace{Dir: cfg.Dir, Releases: cfg.Releases}
	m, err := codegen.Load(w.ManifestFile())
	if err != nil {
		return err
	}
	usage, err := w.Usage(c.Context)
	if err != nil {
		return err
	}
	found, err := diagnoseWorker(w, m, usage)
	if err != nil {
		return err
	}
	for _, s := range cfg.Schemas {
		d, err := diagnoseSchema(w, m, s.Name)
		if err != nil {
			return err
		}
		found = append(found, d)
	}
	found = append(found, diagnoseUse(m, usage)...)
	if name := c.String("env"); name != "" {
		env, err := cfg.Environment(name)
		if err != nil {
			return err
		}
		found = append(found, diagnoseBackend(c.Context, env)...)
	}

	var next []string
	bad := 0
	for _, d := range found {
		if !d.OK {
			bad++
			next = append(next, d.Next)
		}
	}
	if err := a.render(struct {
		Checks      []diagnosis `json:"checks"`
		NextActions []string    `json:"next_actions"`
	}{found, append([]string{}, next...)}, func(out io.Writer) error {
		for _, d := range found {
			mark := "ok      "
			if !d.OK {
				mark = a.stdout.paint(warn, "warning ")
			}
			where := ""
			if d.Where != "" {
				where = d.Where + ": "
			}
			fmt.Fprintf(out, "%s%s%s\n", mark, where, d.Text)
			if d.Next != "" {
				fmt.Fprintf(out, "        next: %s\n", d.Next)
			}
		}
		return nil
	}); err != nil {
		return err
	}
	if bad > 0 {
		return errs.New(errs.Findings, "%s", counted(int64(bad), "warning"))
	}
	return nil
}

const doctorPage = "headgate help generate"

func diagnoseWorker(w codegen.Workspace, m *codegen.Manifest, u codegen.Usage) ([]diagnosis, error) {
	d := diagnosis{Check: "worker", Where: codegen.WorkerFileName}
	if m.Worker == nil {
		entry := "FILE"
		if len(u.Backends)+len(u.Wrapped) > 0 {
			entry = append(u.Backends, u.Wrapped...)[0]
		}
		d.Text = "the sync backend is not wrapped, so that nobody knows who reads"
		d.Next = "headgate generate --worker " + entry
		return []diagnosis{d}, nil
	}
	f, err := w.WorkerFile(m)
	if err != nil {
		return nil, err
	}
	d.Where, d.OK, d.Text = m.Worker.File, f.Status == codegen.Current, "the wrapper of the sync backend is "+string(f.Status)
	if !d.OK {
		d.Next = "headgate generate"
	}
	use := diagnosis{Check: "worker-used", Where: m.Worker.Entry, OK: len(u.Wrapped) > 0, Text: "the backend imports the wrapper"}
	if !use.OK {
		use.Text, use.Next = "the backend does not import ./"+codegen.WorkerFileName, doctorPage
	}
	all := []diagnosis{d, use}
	for _, bare := range u.Backends {
		all = append(all, diagnosis{
			Check: "worker-bare", Where: bare, Next: doctorPage,
			Text: "imports @livestore/sync-cf/cf-worker past the wrapper",
		})
	}
	return all, nil
}

func diagnoseSchema(w codegen.Workspace, m *codegen.Manifest, name string) (diagnosis, error) {
	d := diagnosis{Check: "helper"}
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
func diagnoseUse(m *codegen.Manifest, u codegen.Usage) []diagnosis {
	has := false
	for _, s := range m.Schemas {
		has = has || s.Release != ""
	}
	if !has {
		return nil
	}
	var all []diagnosis
	for _, x := range []struct {
		check, yes, no string
		in             []string
	}{
		{"payload", "the sync payload says who the client is", "no module sends syncIdentity(…) in the sync payload: the backend sees clients without a release", u.Identity},
		{"stamp", "the ids with the release are used", "no module takes its ids from identityOf(…): events don't name the release that wrote them", u.Stamped},
	} {
		d := diagnosis{Check: x.check, OK: len(x.in) > 0, Where: strings.Join(x.in, ", "), Text: x.yes}
		if !d.OK {
			d.Text, d.Next = x.no, doctorPage
		}
		all = append(all, d)
	}
	return all
}

// diagnoseBackend asks the environment's sync backend about its wrapper: nothing of a store is touched, and no token is sent.
func diagnoseBackend(ctx context.Context, env config.Environment) []diagnosis {
	log := env.Log
	for _, s := range env.Stores {
		if log.Address == "" {
			log = s.Log
		}
	}
	d := diagnosis{Check: "backend", Where: "environment " + env.Name, Next: doctorPage}
	if log.Kind != "sync-cf" && log.Kind != "sync-cf+http" {
		d.OK, d.Next, d.Text = true, "", "it has no sync-cf backend, which alone can be wrapped"
		return []diagnosis{d}
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
		d.OK, d.Next, d.Text = true, "", "the wrapper runs in the sync backend, and reports"
	}
	return []diagnosis{d}
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
