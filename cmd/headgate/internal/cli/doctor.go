package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"headgate/internal/codegen"
	"headgate/internal/errs"
)

func (a *app) doctorCommand() *cli.Command {
	return &cli.Command{
		Name:      "doctor",
		Category:  plumbing,
		Usage:     "what the app lacks for headgate to see who is out there",
		UsageText: "headgate doctor\nheadgate doctor --format json",
		Description: `Looks at the generated files and at the app's own modules, which it does not run: is the sync backend wrapped, does
the app say which release it is, is that sent to the backend and stamped into each event. Each warning has its next command.
Exit 3 when there is one. A rollout can't know its readers without these: a store that nobody reports is never eligible.`,
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
