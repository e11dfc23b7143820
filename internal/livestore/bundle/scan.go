package bundle

import (
	"bytes"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
	"github.com/tdewolff/parse/v2"
	"github.com/tdewolff/parse/v2/js"

	"headgate/internal/livestore/schema"
)

// storeCalls are the functions whose options decide where a client keeps its data.
var storeCalls = []string{
	"makeAdapter", "makePersistedAdapter", "makeSingleTabAdapter", "makeInMemoryAdapter", "makeWorkerAdapter",
	"makeCfDoAdapter", "createStore", "createStorePromise", "createStoreDoPromise", "useStore", "makeWorker", "makeDurableObject",
}

// storeOptions are the options of those calls that headgate judges, by their place in the argument. Others are not
// recorded: they may hold what is nobody's business (a sync payload).
var storeOptions = []string{
	"storage", "storage.type", "resetPersistence", "sync.backend", "sync.onBackendIdMismatch", "sync.onSyncError",
	"experimental.disableFastPath",
}

// notWritten is the recorded value of an option whose value can't be read off the call.
const notWritten = "(computed)"

// scanned is what Scan found in an app's source.
type scanned struct {
	Adapters []schema.AdapterCall
	Secrets  []schema.Secret
}

// Scan reads the app's source beside the schema: every script in the entry's top directory (usually src), tests left
// out, and the Worker's configuration. Files that don't parse are passed over, since they are not the schema's.
func Scan(src Source) (adapters []schema.AdapterCall, secrets []schema.Secret, err error) {
	top := strings.Split(filepath.ToSlash(filepath.Clean(src.Entry)), "/")[0]
	root := filepath.Join(src.Dir, top)
	if info, err := os.Stat(root); err != nil || !info.IsDir() {
		root = src.Dir
	}
	out := scanned{Adapters: []schema.AdapterCall{}}
	err = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // an unreadable corner of the source is not the schema's problem
		}
		rel, rerr := filepath.Rel(src.Dir, p)
		if rerr != nil {
			return rerr
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if slices.Contains([]string{"node_modules", "dist", "build", "coverage", "__tests__", "test", "tests"}, d.Name()) || strings.HasPrefix(d.Name(), ".") && p != root {
				return filepath.SkipDir
			}
			return nil
		}
		if isScript(rel) {
			out.script(p, rel)
		}
		return nil
	})
	for _, name := range []string{"wrangler.toml", "wrangler.json", "wrangler.jsonc"} {
		out.secrets(filepath.Join(src.Dir, name), name)
	}
	sort.Slice(out.Adapters, func(i, j int) bool {
		a, b := out.Adapters[i], out.Adapters[j]
		return a.File < b.File || a.File == b.File && a.Line < b.Line
	})
	sort.Slice(out.Secrets, func(i, j int) bool {
		a, b := out.Secrets[i], out.Secrets[j]
		return a.File < b.File || a.File == b.File && a.Line < b.Line
	})
	return out.Adapters, out.Secrets, err
}

var loaders = map[string]api.Loader{
	".ts": api.LoaderTS, ".tsx": api.LoaderTSX, ".mts": api.LoaderTS, ".cts": api.LoaderTS,
	".js": api.LoaderJSX, ".jsx": api.LoaderJSX, ".mjs": api.LoaderJS, ".cjs": api.LoaderJS,
}

func isScript(name string) bool {
	base := path.Base(name)
	if strings.Contains(base, ".test.") || strings.Contains(base, ".spec.") || strings.Contains(base, ".stories.") || strings.HasSuffix(base, ".d.ts") {
		return false
	}
	_, ok := loaders[path.Ext(name)]
	return ok
}

var callWord = regexp.MustCompile(`\b(` + strings.Join(storeCalls, "|") + `)\s*(<[^()]*>)?\s*\(`)

// comment matches comments, and whatever of a string looks like one: a call is looked for in what is left.
var comment = regexp.MustCompile(`(?s)/\*.*?\*/|//[^\n]*`)

// blank keeps the lines of a piece of text and nothing else.
func blank(text []byte) []byte {
	out := bytes.Repeat([]byte(" "), len(text))
	for i, c := range text {
		if c == '\n' {
			out[i] = c
		}
	}
	return out
}

func (out *scanned) script(file, rel string) {
	text, err := os.ReadFile(file)
	if err != nil {
		return
	}
	out.text(string(text), rel)
	code := comment.ReplaceAllFunc(text, blank)
	places := callWord.FindAllSubmatchIndex(code, -1)
	if places == nil {
		return
	}
	// TypeScript and JSX go; the calls and their order stay, which is how a call finds its line again.
	js1 := api.Transform(string(text), api.TransformOptions{Loader: loaders[path.Ext(rel)], JSX: api.JSXTransform, Target: api.ES2022, LogLevel: api.LogLevelSilent})
	if len(js1.Errors) > 0 {
		return
	}
	ast, err := js.Parse(parse.NewInputBytes(js1.Code), js.Options{})
	if err != nil {
		return
	}
	v := &callVisitor{}
	js.Walk(v, ast)
	used := map[string]int{}
	for _, c := range v.calls {
		n := used[c.Call]
		used[c.Call]++
		for _, p := range places {
			if string(text[p[2]:p[3]]) != c.Call {
				continue
			}
			if n == 0 {
				c.Line = 1 + strings.Count(string(text[:p[2]]), "\n")
				break
			}
			n--
		}
		c.File = rel
		out.Adapters = append(out.Adapters, c)
	}
}

type callVisitor struct{ calls []schema.AdapterCall }

func (v *callVisitor) Enter(n js.INode) js.IVisitor {
	call, ok := n.(*js.CallExpr)
	if !ok {
		return v
	}
	name := ""
	switch x := call.X.(type) {
	case *js.Var:
		name = string(x.Data)
	case *js.DotExpr:
		name = jsText(x.Y)
	}
	if !slices.Contains(storeCalls, name) {
		return v
	}
	c := schema.AdapterCall{Call: name, Options: map[string]string{}}
	for _, a := range call.Args.List {
		if o, ok := a.Value.(*js.ObjectExpr); ok {
			options(o, "", c.Options)
		}
	}
	v.calls = append(v.calls, c)
	return v
}

func (v *callVisitor) Exit(js.INode) {}

func options(o *js.ObjectExpr, prefix string, into map[string]string) {
	for _, p := range o.List {
		if p.Spread {
			into[prefix+"..."] = notWritten
			continue
		}
		if p.Name == nil {
			continue
		}
		key := prefix + propertyKey(p.Name)
		if inner, ok := p.Value.(*js.ObjectExpr); ok {
			options(inner, key+".", into)
			continue
		}
		if !slices.Contains(storeOptions, key) {
			continue
		}
		into[key] = notWritten
		if _, ok := p.Value.(*js.LiteralExpr); ok {
			into[key] = jsText(p.Value)
		}
	}
}

// secretPatterns are the shapes that credentials have.
var secretPatterns = []struct {
	kind string
	re   *regexp.Regexp
}{
	{"private key", regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----`)},
	{"AWS access key", regexp.MustCompile(`\b(AKIA|ASIA)[0-9A-Z]{16}\b`)},
	{"GitHub token", regexp.MustCompile(`\b(ghp|gho|ghu|ghs|ghr|github_pat)_[A-Za-z0-9_]{30,}\b`)},
	{"Stripe key", regexp.MustCompile(`\b(sk|rk)_(live|test)_[A-Za-z0-9]{16,}\b`)},
	{"Slack token", regexp.MustCompile(`\bxox[abprs]-[A-Za-z0-9-]{10,}\b`)},
	{"Google API key", regexp.MustCompile(`\bAIza[0-9A-Za-z_-]{35}\b`)},
	{"JSON Web Token", regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}`)},
	{"literal credential", regexp.MustCompile(`(?i)\b[a-z0-9_]*(secret|password|passwd|auth_?token|access_?token|api_?key|private_?key|encryption_?key)["']?\s*[:=]\s*["'\x60]([^"'\x60\s$]{12,})["'\x60]`)},
}

// placeholder matches values that only stand for a secret.
var placeholder = regexp.MustCompile(`(?i)insecure|change-?me|example|placeholder|your[-_ ]|xxxx|<[^>]*>|\.\.\.|process\.env|import\.meta`)

func (out *scanned) secrets(file, rel string) {
	text, err := os.ReadFile(file)
	if err != nil {
		return
	}
	out.text(string(text), rel)
}

func (out *scanned) text(text, rel string) {
	n := 0
	for line := range strings.Lines(text) {
		n++
		for _, p := range secretPatterns {
			m := p.re.FindString(line)
			if m == "" || placeholder.MatchString(m) {
				continue
			}
			out.Secrets = append(out.Secrets, schema.Secret{File: rel, Line: n, Kind: p.kind})
			break
		}
	}
}
