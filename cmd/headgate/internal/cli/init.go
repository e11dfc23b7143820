package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/cmd/headgate/internal/discover"
	"headgate/internal/atomicfile"
	"headgate/internal/errs"
)

func (a *app) initCommand() *cli.Command {
	return &cli.Command{
		Name:     "init",
		Category: daily,
		Usage:    "write headgate.yaml for the app in this directory",
		Description: `Finds LiveStore in package.json (of workspaces too), the modules that call makeSchema, the adapters that
are imported and the client logs that lie in the directory. Where several modules make a schema and one imports
none of them more than another, it asks; without a terminal it takes each as a schema of its own.`,
		UsageText: "headgate init\nheadgate init --dry-run",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Usage: "replace a headgate.yaml that is there"},
			&cli.BoolFlag{Name: "dry-run", Usage: "print the file, write nothing"},
		},
		Action: func(c *cli.Context) error { return a.init(c.Bool("force"), c.Bool("dry-run")) },
	}
}

// An initResult is what `headgate init` did, or with --dry-run would do.
type initResult struct {
	Config      string       `json:"config"`
	App         string       `json:"app"`
	Schemas     []initSchema `json:"schemas"`
	Stores      []initStore  `json:"stores"`
	Created     []string     `json:"created"`
	Notes       []string     `json:"notes"`
	DryRun      bool         `json:"dry_run"`
	Text        string       `json:"text"` // of headgate.yaml
	NextActions []string     `json:"next_actions"`
}

type initSchema struct {
	Name     string   `json:"name"`
	Entry    string   `json:"entry"`
	Export   string   `json:"export"`
	Adapters []string `json:"adapters"`
	Queries  string   `json:"queries,omitempty"`
}

type initStore struct {
	ID  string `json:"id"`
	Log string `json:"log"`
}

func (a *app) init(force, dryRun bool) error {
	path := filepath.Join(a.dir, config.FileName)
	if a.configPath != "" {
		return errs.Invalidf("init writes headgate.yaml into the working directory, --config does not go with it").
			Hintf("change into the app's directory and leave --config out").Then("headgate init --help")
	}
	if _, err := os.Lstat(path); err == nil && !force && !dryRun {
		return errs.Refusedf("headgate.yaml is there already").At("%s", path).
			Hintf("--force replaces it, --dry-run shows what would be written").Then("headgate init --dry-run")
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errs.New(errs.Internal, "can't look for headgate.yaml").At("%s", path).Because(err)
	}
	found, err := discover.Find(a.dir)
	if err != nil {
		return err
	}
	r, err := a.proposal(found)
	if err != nil {
		return err
	}
	r.Config, r.DryRun = path, dryRun
	r.Text = r.yaml()
	if _, err := config.Parse([]byte(r.Text), path, a.lookupEnv); err != nil {
		return errs.New(errs.Internal, "init made a headgate.yaml that headgate does not accept").Because(err).
			Hintf("this is a defect in headgate; write the file by hand, see `headgate help config`").Then("headgate help config")
	}
	if !dryRun {
		if r.Created, err = a.writeInit(path, r.Text); err != nil {
			return err
		}
	}
	if dryRun && a.format == formatText { // stdout is exactly the file
		for _, n := range r.Notes {
			fmt.Fprintf(a.stderr, "note: %s\n", n)
		}
	}
	return a.render(r, r.print)
}

// proposal turns what was found into schemas and stores, asking where there is more than one answer.
func (a *app) proposal(found *discover.App) (*initResult, error) {
	schemas := found.Schemas
	if len(schemas) == 0 {
		err := errs.NotFoundf("no module exports the result of makeSchema").At("%s", a.dir).
			Hintf("write headgate.yaml by hand, see `headgate help config`").Then("headgate help config")
		if len(found.Hidden) > 0 {
			err.At("%s", filepath.Join(a.dir, filepath.FromSlash(found.Hidden[0]))).
				Hintf("makeSchema is called here; export its result: export const schema = makeSchema(…)")
		}
		return nil, err
	}
	r := &initResult{App: plainName(found.Name), Schemas: []initSchema{}, Stores: []initStore{}, Created: []string{}, Notes: []string{}}
	if len(schemas) > 1 {
		chosen, err := a.choose(schemas)
		if err != nil {
			return nil, err
		}
		if len(chosen) > 1 && len(chosen) == len(schemas) {
			r.Notes = append(r.Notes, fmt.Sprintf("%d modules make a schema: each became a schema of its own; remove from headgate.yaml what is none", len(schemas)))
		}
		schemas = chosen
	}
	if n := len(found.Unused); n == 1 {
		r.Notes = append(r.Notes, fmt.Sprintf("left out %s: nothing imports it", found.Unused[0].Path))
	} else if n > 1 {
		r.Notes = append(r.Notes, fmt.Sprintf("left out %d modules that nothing imports: %s to %s", n, found.Unused[0].Path, found.Unused[n-1].Path))
	}
	adapters := found.Adapters
	if len(adapters) == 0 {
		adapters = []string{string(config.Web)}
		r.Notes = append(r.Notes, "no LiveStore adapter found: assumed web; correct `adapters` in headgate.yaml")
	}
	for i, name := range schemaNames(schemas) {
		s := schemas[i]
		r.Schemas = append(r.Schemas, initSchema{Name: name, Entry: s.Path, Export: s.Export, Adapters: adapters, Queries: s.Queries})
	}
	if len(r.Schemas) > 1 && len(found.Logs) > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("found %s: add it under environments with its schema", found.Logs[0].Path))
	} else {
		r.addStores(found.Logs)
	}
	version := found.Version
	if !config.IsVersion(version) || version == "0.0.0" {
		version = "1.0.0"
	}
	r.NextActions = []string{"headgate release add " + version}
	if len(r.Schemas) > 1 {
		r.NextActions = nil
		for _, s := range r.Schemas {
			r.NextActions = append(r.NextActions, fmt.Sprintf("headgate release add %s --schema %s", version, s.Name))
		}
	}
	return r, nil
}

// maxFoundStores keeps init's file readable where a directory is full of logs.
const maxFoundStores = 20

func (r *initResult) addStores(logs []discover.Log) {
	taken := map[string]bool{}
	for i, l := range logs {
		if i == maxFoundStores {
			r.Notes = append(r.Notes, fmt.Sprintf("%d more client logs found and left out", len(logs)-i))
			return
		}
		id := plainName(l.Store)
		if taken[id] {
			r.Notes = append(r.Notes, fmt.Sprintf("left out %s: another log has its store id %s", l.Path, id))
			continue
		}
		taken[id] = true
		r.Stores = append(r.Stores, initStore{ID: id, Log: "file:" + l.Path})
	}
}

// choose asks which of several schemas are meant. Without a terminal all are.
func (a *app) choose(schemas []discover.Schema) ([]discover.Schema, error) {
	if !a.interactive {
		return schemas, nil
	}
	fmt.Fprintf(a.stderr, "Several modules make a schema. An app may have several, one per kind of store:\n")
	for i, s := range schemas {
		fmt.Fprintf(a.stderr, "  %d  %s (%s)\n", i+1, s.Path, s.Export)
	}
	for {
		fmt.Fprintf(a.stderr, "Which are this app's? Numbers with blanks between them, or Enter for all: ")
		line, err := a.typedLine()
		if err != nil && (!errors.Is(err, io.EOF) || line == "") {
			return nil, errs.New(errs.Interrupted, "no answer").Because(err)
		}
		words := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == ',' || r == '\n' || r == '\r' })
		if len(words) == 0 {
			return schemas, nil
		}
		var out []discover.Schema
		seen := map[int]bool{}
		for _, w := range words {
			n, err := strconv.Atoi(w)
			if err != nil || n < 1 || n > len(schemas) {
				fmt.Fprintf(a.stderr, "%q is none of 1 to %d.\n", w, len(schemas))
				out = nil
				break
			}
			if !seen[n] {
				seen[n] = true
				out = append(out, schemas[n-1])
			}
		}
		if len(out) > 0 {
			return out, nil
		}
	}
}

// schemaNames derives a name for each: main where there is one, else from the export (mailboxSchema), else from the
// directory (src/thread/schema.ts); a number makes what is left unique.
func schemaNames(schemas []discover.Schema) []string {
	if len(schemas) == 1 {
		return []string{"main"}
	}
	var out []string
	taken := map[string]bool{}
	for _, s := range schemas {
		name := strings.TrimSuffix(strings.TrimSuffix(s.Export, "Schema"), "schema")
		if name == "" || name == "default" {
			name = "main"
			parts := strings.Split(strings.TrimSuffix(s.Path, filepath.Ext(s.Path)), "/")
			for i := len(parts) - 1; i >= 0; i-- {
				switch parts[i] {
				case "schema", "index", "livestore", "src", "lib", "app", "packages", "apps":
					continue
				}
				name = parts[i]
				break
			}
		}
		name = plainName(strings.TrimSuffix(name, "-schema"))
		unique := name
		for n := 2; taken[unique]; n++ {
			unique = name + strconv.Itoa(n)
		}
		taken[unique] = true
		out = append(out, unique)
	}
	return out
}

// plainName makes a name that headgate.yaml accepts.
func plainName(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_':
			return r
		}
		return '-'
	}, s)
	if s = strings.Trim(s, "-"); s == "" {
		return "app"
	}
	return s
}

// yaml renders headgate.yaml.
func (r *initResult) yaml() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# headgate's configuration; `headgate help config` explains every key.\napp: %s\nschemas:\n", quote(r.App))
	for _, s := range r.Schemas {
		fmt.Fprintf(&b, "  %s:\n    entry: %s\n    export: %s\n    adapters: [%s]\n", s.Name, quote(s.Entry), quote(s.Export), strings.Join(s.Adapters, ", "))
		if s.Queries != "" {
			fmt.Fprintf(&b, "    queries: %s\n", quote(s.Queries))
		}
	}
	b.WriteString("releases: headgate/releases\nmigrations: headgate/migrations\nenvironments:\n  local:\n")
	if len(r.Stores) == 0 {
		b.WriteString("    stores: []        # - {id: demo, schema: " + r.Schemas[0].Name + ", log: \"file:data/demo/eventlog@6.db\"}\n")
	} else {
		b.WriteString("    stores:\n")
		for _, s := range r.Stores {
			fmt.Fprintf(&b, "      - {id: %s, schema: %s, log: %s}\n", quote(s.ID), r.Schemas[0].Name, strconv.Quote(s.Log))
		}
	}
	b.WriteString("    fleet:\n      horizon: 90d    # a client that was away for longer does not count\n" +
		"      alive: []       # which releases are out there: - {release: 1.0.0, share: 100%}\n")
	return b.String()
}

// quote returns s as it can stand in YAML: plain where that is safe.
func quote(s string) string {
	safe := s != "" && (s[0] >= 'a' && s[0] <= 'z' || s[0] >= 'A' && s[0] <= 'Z') &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./") == ""
	switch strings.ToLower(s) {
	case "true", "false", "yes", "no", "on", "off", "null", "y", "n":
		safe = false
	}
	if safe {
		return s
	}
	return strconv.Quote(strings.ReplaceAll(s, "${", "$${"))
}

// writeInit writes headgate.yaml last, so that its presence means that all is there. Directories that it made are
// removed when it fails.
func (a *app) writeInit(path, text string) (created []string, err error) {
	var made []string
	defer func() {
		for i := len(made) - 1; err != nil && i >= 0; i-- {
			_ = os.Remove(made[i]) // empty directories: leaving one is no harm
		}
	}()
	for _, dir := range []string{"headgate", "headgate/releases", "headgate/migrations"} {
		full := filepath.Join(a.dir, filepath.FromSlash(dir))
		switch err := os.Mkdir(full, 0o777); {
		case err == nil:
			made = append(made, full)
			if dir != "headgate" {
				created = append(created, dir)
			}
		case errors.Is(err, fs.ErrExist):
			if info, e := os.Stat(full); e != nil || !info.IsDir() {
				return nil, errs.Invalidf("a file stands where a directory must be").At("%s", full).Hintf("move it away").Then("headgate init")
			}
		default:
			return nil, errs.New(errs.Internal, "can't create a directory").At("%s", full).Because(cause(err)).
				Hintf("make %s writable for this user", a.dir).Then("headgate init")
		}
	}
	ignored, err := a.ignoreWorkFiles()
	if err != nil {
		return nil, err
	}
	if ignored {
		created = append(created, ".headgate/ in .gitignore")
	}
	return created, atomicfile.Write(path, []byte(text), 0o666)
}

// ignoreWorkFiles adds .headgate/ to .gitignore unless a line has it.
func (a *app) ignoreWorkFiles() (bool, error) {
	path := filepath.Join(a.dir, ".gitignore")
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, errs.New(errs.Internal, "can't read .gitignore").At("%s", path).Because(cause(err)).Then("headgate init")
	}
	for line := range strings.Lines(string(data)) {
		switch strings.TrimSpace(line) {
		case ".headgate", ".headgate/", "/.headgate", "/.headgate/":
			return false, nil
		}
	}
	text := string(data)
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	perm := fs.FileMode(0o666)
	if info, err := os.Stat(path); err == nil {
		perm = info.Mode().Perm()
	}
	return true, atomicfile.Write(path, []byte(text+".headgate/\n"), perm)
}

// cause drops the path that a file error repeats.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

func (r *initResult) print(w io.Writer) error {
	if r.DryRun {
		_, err := io.WriteString(w, r.Text)
		return err
	}
	fmt.Fprintf(w, "wrote %s\n", config.FileName)
	for _, s := range r.Schemas {
		fmt.Fprintf(w, "  schema %s: %s from %s, adapters %s\n", s.Name, s.Export, s.Entry, strings.Join(s.Adapters, ", "))
	}
	for _, s := range r.Stores {
		fmt.Fprintf(w, "  store %s: %s\n", s.ID, s.Log)
	}
	if len(r.Created) > 0 {
		fmt.Fprintf(w, "created %s\n", strings.Join(r.Created, ", "))
	}
	for _, n := range r.Notes {
		fmt.Fprintf(w, "note: %s\n", n)
	}
	for _, n := range r.NextActions {
		fmt.Fprintf(w, "next: %s\n", n)
	}
	return nil
}
