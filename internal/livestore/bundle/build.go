package bundle

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"

	"github.com/evanw/esbuild/pkg/api"

	"headgate/internal/errs"
	"headgate/internal/livestore/engine"
)

// A Source says where an app's schema lies.
type Source struct {
	Dir     string // the app's directory, absolute: headgate.yaml's
	Entry   string // the module that exports the schema, relative to Dir
	Export  string // the export's name; empty takes the only one that is a LiveStore schema
	Queries string // the module that exports the app's queries, relative to Dir; may be empty
}

// A Script is an app's schema with everything that it imports, ready for the sandbox.
type Script struct {
	Code string `json:"code"`
	// Map leads from Code to the app's own TypeScript; see sourcemap.go for its form.
	Map string `json:"map"`
	// Modules are the app's own files that went in, relative to the app's directory, sorted.
	Modules []string `json:"modules"`
	// Export is the export of the entry that is the schema, once [Describe] has found it.
	Export string `json:"export"`

	// Effect is the version of the effect package that the schema is built on.
	Effect string `json:"-"`
	// OtherEffects are the versions of further copies of it that went in, by way of the app's own imports.
	OtherEffects []string `json:"-"`
	// Own is the app's code alone, for finding what belongs to which event.
	Own string `json:"-"`
}

// driverModules are the modules that the driver imports, and what they mean to the app's module resolution: each is
// looked up from the package before the arrow, because a strict node_modules shows an app only what it names itself.
var driverModules = map[string][]string{
	"headgate:common":        {"@livestore/livestore", "@livestore/common"},
	"headgate:common/schema": {"@livestore/livestore", "@livestore/common/schema"},
	"headgate:utils/effect":  {"@livestore/livestore", "@livestore/common", "@livestore/utils/effect"},
	"headgate:effect":        {"@livestore/livestore", "@livestore/common", "@livestore/utils/effect", "effect"},
}

// nativeModule matches packages that only exist inside an app's native shell.
var nativeModule = regexp.MustCompile(`^(react-native|expo|@react-native|@expo)($|[-/])`)

// asset matches what a web or native bundler turns into a URL or a worker.
var asset = regexp.MustCompile(`(\?(worker|sharedworker|url|raw|inline)(&.*)?$)|(\.(png|jpe?g|gif|svg|webp|avif|ico|bmp|mp[34]|webm|ogg|wav|woff2?|ttf|otf|eot|css|scss|sass|less|wasm|pdf|txt|html|glsl|sql|md|mdx)(\?.*)?$)`)

// virtual matches modules that a bundler or a runtime makes up.
var virtual = regexp.MustCompile(`^((virtual|cloudflare|bun|deno|astro|workbox)[:-]|\$(env|app)/)`)

// stub is a module that can be imported under any name and throws when something of it is called.
const stub = `const thrower = (path) => new Proxy(function () {}, {
  get: (_, k) => k === Symbol.toPrimitive ? () => path : k === '__esModule' ? true : k === 'then' ? undefined : thrower(path + '.' + String(k)),
  has: () => true,
  getPrototypeOf: () => thrower(path),
  apply: () => { throw new Error(path + ' is not available where headgate evaluates a schema') },
  construct: () => { throw new Error(path + ' is not available where headgate evaluates a schema') },
})
module.exports = thrower(%s)
`

// shims follow the stub of the modules of which apps call something at the top level that does nothing but compute.
var shims = map[string]string{
	"react-native": `const known = {
  Platform: { OS: 'ios', Version: '0', isPad: false, isTV: false, select: (o) => 'ios' in o ? o.ios : 'native' in o ? o.native : o.default },
  StyleSheet: { create: (s) => s, flatten: (s) => Object.assign({}, ...[s].flat(Infinity).filter(Boolean)), compose: (a, b) => [a, b], hairlineWidth: 1, absoluteFill: {}, absoluteFillObject: {} },
  Dimensions: { get: () => ({ width: 0, height: 0, scale: 1, fontScale: 1 }), addEventListener: () => ({ remove() {} }) },
  PixelRatio: { get: () => 1, getFontScale: () => 1, roundToNearestPixel: (n) => n },
  LogBox: { ignoreLogs() {}, ignoreAllLogs() {} },
}
` + known,
	"crypto": `const known = { randomUUID: () => crypto.randomUUID(), getRandomValues: (a) => crypto.getRandomValues(a), webcrypto: crypto }
` + known,
	"expo-crypto": `const known = { randomUUID: () => crypto.randomUUID(), getRandomValues: (a) => crypto.getRandomValues(a) }
` + known,
	"process":                        "module.exports = process\n",
	"perf_hooks":                     "const known = { performance }\n" + known,
	"react-native-get-random-values": "module.exports = {}\n",
}

// known lets a stub answer with what its constant known holds; the default export does so too.
const known = `const stubbed = module.exports
const all = new Proxy(stubbed, { get: (t, k) => Object.hasOwn(known, k) ? known[k] : k === 'default' ? all : t[k], has: () => true, getPrototypeOf: () => all })
module.exports = all
`

// nodeBuiltins are Node's modules; with the prefix node: any name is one.
var nodeBuiltins = strings.Fields(`assert async_hooks buffer child_process cluster console constants crypto dgram
	diagnostics_channel dns domain events fs http http2 https inspector module net os path perf_hooks process punycode
	querystring readline repl stream string_decoder sys timers tls trace_events tty url util v8 vm wasi worker_threads zlib`)

// Build bundles the app's schema. Errors name the TypeScript file and line.
func Build(src Source) (*Script, error) {
	entry := filepath.Join(src.Dir, src.Entry)
	if info, err := os.Stat(entry); err != nil || info.IsDir() {
		return nil, errs.NotFoundf("no file %s", src.Entry).At("%s", entry).
			Hintf("schemas.<name>.entry in headgate.yaml is the module that exports the schema, relative to headgate.yaml")
	}
	queries := ""
	if src.Queries != "" {
		queries = filepath.Join(src.Dir, src.Queries)
		if _, err := os.Stat(queries); err != nil {
			return nil, errs.NotFoundf("no file %s", src.Queries).At("%s", queries).
				Hintf("schemas.<name>.queries in headgate.yaml is a module that exports the app's queries; leave it out if there is none")
		}
	}
	define := map[string]string{
		"import.meta.env.MODE": `"production"`, "import.meta.env.PROD": "true", "import.meta.env.DEV": "false",
		"import.meta.env.SSR": "false", "import.meta.env.BASE_URL": `"/"`, "import.meta.env": `__headgate_env`,
		"import.meta.url": `"file:///app/entry.js"`, "import.meta.dirname": `"/app"`, "import.meta.hot": "undefined",
		"process.env.NODE_ENV": `"production"`, "__DEV__": "false",
	}
	effect := ""
	result := api.Build(api.BuildOptions{
		Stdin:         &api.StdinOptions{Contents: engine.Driver, ResolveDir: filepath.Dir(entry), Sourcefile: driverFile, Loader: api.LoaderJS},
		AbsWorkingDir: src.Dir,
		Bundle:        true, Write: false,
		Outfile:          filepath.Join(src.Dir, "headgate-bundle.js"),
		Format:           api.FormatIIFE,
		Platform:         api.PlatformBrowser,
		Target:           api.ES2022,
		TreeShaking:      api.TreeShakingTrue,
		MinifyWhitespace: true,
		LegalComments:    api.LegalCommentsNone,
		Charset:          api.CharsetASCII, // so that a column is the same number in bytes and in characters
		Sourcemap:        api.SourceMapExternal, SourcesContent: api.SourcesContentExclude,
		Metafile:   true,
		Define:     define,
		Banner:     map[string]string{"js": "var __headgate_env={MODE:\"production\",PROD:true,DEV:false,SSR:false,BASE_URL:\"/\"};"},
		Conditions: []string{"browser"},
		LogLevel:   api.LogLevelSilent,
		Plugins:    []api.Plugin{resolvePlugin(entry, queries, &effect), {Name: "headgate-packages", Setup: withoutMaps}},
	})
	if len(result.Errors) > 0 {
		return nil, buildError(src, result.Errors)
	}
	s := &Script{Effect: packageVersion(effect)}
	var rawMap []byte
	for _, f := range result.OutputFiles {
		switch {
		case strings.HasSuffix(f.Path, ".map"):
			rawMap = f.Contents
		case strings.HasSuffix(f.Path, ".js"):
			s.Code = string(f.Contents)
		}
	}
	var meta struct {
		Inputs map[string]json.RawMessage `json:"inputs"`
	}
	if err := json.Unmarshal([]byte(result.Metafile), &meta); err != nil {
		return nil, fmt.Errorf("read esbuild's metafile: %w", err)
	}
	copies := map[string]bool{packageRoot(effect): true}
	for in := range meta.Inputs {
		if i := strings.LastIndex(in, "node_modules/effect/"); i >= 0 {
			root := filepath.Join(src.Dir, filepath.FromSlash(in[:i]), "node_modules", "effect")
			if !copies[root] {
				copies[root] = true
				s.OtherEffects = append(s.OtherEffects, packageVersion(filepath.Join(root, "package.json")))
			}
		}
		if isAppFile(in) {
			s.Modules = append(s.Modules, filepath.ToSlash(in))
		}
	}
	sort.Strings(s.Modules)
	sort.Strings(s.OtherEffects)
	var cuts []cut
	s.Code, cuts = cutPackagePaths(s.Code)
	var err error
	if s.Map, err = compactMap(rawMap, s.Modules, cuts); err != nil {
		return nil, err
	}
	if s.Own, err = ownCode(src, entry, define); err != nil {
		return nil, err
	}
	return s, nil
}

// wrapped matches the name that esbuild gives a CommonJS module, up to where its package begins.
var wrapped = regexp.MustCompile(`\{"([^"\n]*/)node_modules/`)

// A cut is a piece of the code that was taken out, by its line and column there, from 0.
type cut struct{ line, col, length int }

// cutPackagePaths makes the code independent of where the packages lie, which may be above the app or behind a link:
// esbuild names CommonJS modules by their relative path.
func cutPackagePaths(code string) (string, []cut) {
	var cuts []cut
	var out strings.Builder
	n := 0
	for line := range strings.Lines(code) {
		last := 0
		for _, m := range wrapped.FindAllStringSubmatchIndex(line, -1) {
			out.WriteString(line[last:m[2]])
			cuts = append(cuts, cut{n, m[2], m[3] - m[2]})
			last = m[3]
		}
		out.WriteString(line[last:])
		n++
	}
	return out.String(), cuts
}

// ownCode bundles the app's modules without packages, so that every declaration stands at the top level.
func ownCode(src Source, entry string, define map[string]string) (string, error) {
	result := api.Build(api.BuildOptions{
		Stdin: &api.StdinOptions{
			Contents: "export * from 'headgate:app'", ResolveDir: filepath.Dir(entry), Sourcefile: driverFile, Loader: api.LoaderJS,
		},
		AbsWorkingDir: src.Dir,
		Bundle:        true, Write: false,
		Outfile:  filepath.Join(src.Dir, "headgate-own.js"),
		Format:   api.FormatESModule,
		Platform: api.PlatformBrowser, Target: api.ES2022,
		TreeShaking: api.TreeShakingFalse, LegalComments: api.LegalCommentsNone, Charset: api.CharsetUTF8,
		Define: define, LogLevel: api.LogLevelSilent,
		Plugins: []api.Plugin{ownPlugin(entry)},
	})
	if len(result.Errors) > 0 {
		return "", buildError(src, result.Errors)
	}
	return string(result.OutputFiles[0].Contents), nil
}

// ownPlugin leaves packages out: whatever resolves into a node_modules directory, or nowhere.
func ownPlugin(entry string) api.Plugin {
	return api.Plugin{Name: "headgate-own", Setup: func(b api.PluginBuild) {
		referencedAliases(b)
		b.OnResolve(api.OnResolveOptions{Filter: `.*`}, func(a api.OnResolveArgs) (api.OnResolveResult, error) {
			if a.PluginData == "headgate-own" {
				return api.OnResolveResult{}, nil
			}
			if a.Path == "headgate:app" {
				return api.OnResolveResult{Path: entry}, nil
			}
			if asset.MatchString(a.Path) {
				return api.OnResolveResult{Path: a.Path, External: true}, nil
			}
			r := b.Resolve(a.Path, api.ResolveOptions{ResolveDir: a.ResolveDir, Kind: a.Kind, Importer: a.Importer, PluginData: "headgate-own"})
			if len(r.Errors) > 0 || r.Namespace != "file" || strings.Contains(filepath.ToSlash(r.Path), "/node_modules/") {
				return api.OnResolveResult{Path: a.Path, External: true}, nil
			}
			return api.OnResolveResult{Path: r.Path}, nil
		})
	}}
}

// packageVersion is the version in the package.json above a module's file, empty when there is none.
func packageVersion(module string) string {
	for d := filepath.Dir(module); d != filepath.Dir(d); d = filepath.Dir(d) {
		b, err := os.ReadFile(filepath.Join(d, "package.json"))
		if err != nil {
			continue
		}
		var p struct{ Name, Version string }
		if json.Unmarshal(b, &p) == nil && p.Version != "" {
			return p.Version
		}
	}
	return ""
}

// packageRoot is the directory of the package that a module's file belongs to.
func packageRoot(module string) string {
	for d := filepath.Dir(module); d != filepath.Dir(d); d = filepath.Dir(d) {
		if filepath.Base(filepath.Dir(d)) == "node_modules" {
			return d
		}
	}
	return ""
}

// driverFile is the name that the driver has among the bundle's inputs.
const driverFile = "headgate-driver.js"

// isAppFile reports whether a path that esbuild names is the app's own, not a package's or headgate's.
func isAppFile(path string) bool {
	return !strings.Contains(path, "node_modules/") && filepath.Base(path) != driverFile && !strings.Contains(path, ":")
}

func resolvePlugin(entry, queries string, effect *string) api.Plugin {
	return api.Plugin{Name: "headgate", Setup: func(b api.PluginBuild) {
		referencedAliases(b)
		b.OnResolve(api.OnResolveOptions{Filter: `^headgate:`}, func(a api.OnResolveArgs) (api.OnResolveResult, error) {
			switch a.Path {
			case "headgate:before":
				return api.OnResolveResult{Path: "before.js", Namespace: "headgate"}, nil
			case "headgate:lower":
				return api.OnResolveResult{Path: "lower.js", Namespace: "headgate"}, nil
			case "headgate:codec":
				return api.OnResolveResult{Path: "codec.js", Namespace: "headgate"}, nil
			case "headgate:app":
				return api.OnResolveResult{Path: entry}, nil
			case "headgate:queries":
				if queries == "" {
					return api.OnResolveResult{Path: "no-queries.js", Namespace: "headgate"}, nil
				}
				return api.OnResolveResult{Path: queries}, nil
			}
			dir := filepath.Dir(entry)
			var r api.ResolveResult
			for _, name := range driverModules[a.Path] {
				r = b.Resolve(name, api.ResolveOptions{ResolveDir: dir, Kind: api.ResolveJSImportStatement, Importer: entry})
				if len(r.Errors) > 0 {
					return api.OnResolveResult{Errors: []api.Message{{Text: "the package " + name + " is not installed", Detail: missingPackage(name)}}}, nil
				}
				dir = filepath.Dir(r.Path)
			}
			if a.Path == "headgate:effect" {
				*effect = r.Path
			}
			return api.OnResolveResult{Path: r.Path}, nil
		})
		b.OnLoad(api.OnLoadOptions{Filter: `.*`, Namespace: "headgate"}, func(a api.OnLoadArgs) (api.OnLoadResult, error) {
			code := ""
			switch a.Path {
			case "before.js":
				code = engine.Before
			case "lower.js":
				code = engine.Lower
			case "codec.js":
				code = engine.Codec
			}
			return api.OnLoadResult{Contents: &code, Loader: api.LoaderJS}, nil
		})
		b.OnResolve(api.OnResolveOptions{Filter: `^(node:.*|` + strings.Join(nodeBuiltins, "|") + `)(/.*)?$`}, func(a api.OnResolveArgs) (api.OnResolveResult, error) {
			// A package of that name in node_modules (events, buffer, util…) is what a web bundler would take.
			if !strings.HasPrefix(a.Path, "node:") && a.PluginData != "headgate" {
				r := b.Resolve(a.Path, api.ResolveOptions{ResolveDir: a.ResolveDir, Kind: a.Kind, Importer: a.Importer, PluginData: "headgate"})
				if len(r.Errors) == 0 && filepath.IsAbs(r.Path) {
					return api.OnResolveResult{Path: r.Path}, nil
				}
			} else if a.PluginData == "headgate" {
				return api.OnResolveResult{}, nil
			}
			return api.OnResolveResult{Path: a.Path, Namespace: "headgate-stub"}, nil
		})
		b.OnResolve(api.OnResolveOptions{Filter: virtual.String()}, func(a api.OnResolveArgs) (api.OnResolveResult, error) {
			return api.OnResolveResult{Path: a.Path, Namespace: "headgate-stub"}, nil
		})
		b.OnResolve(api.OnResolveOptions{Filter: nativeModule.String()}, func(a api.OnResolveArgs) (api.OnResolveResult, error) {
			return api.OnResolveResult{Path: a.Path, Namespace: "headgate-stub"}, nil
		})
		b.OnResolve(api.OnResolveOptions{Filter: asset.String()}, func(a api.OnResolveArgs) (api.OnResolveResult, error) {
			if a.Namespace != "file" && a.Namespace != "" {
				return api.OnResolveResult{}, nil
			}
			return api.OnResolveResult{Path: a.Path, Namespace: "headgate-stub"}, nil
		})
		b.OnLoad(api.OnLoadOptions{Filter: `.*`, Namespace: "headgate-stub"}, func(a api.OnLoadArgs) (api.OnLoadResult, error) {
			name, err := json.Marshal(a.Path)
			if err != nil {
				return api.OnLoadResult{}, err
			}
			code := fmt.Sprintf(stub, name)
			code += shims[strings.TrimPrefix(a.Path, "node:")]
			return api.OnLoadResult{Contents: &code, Loader: api.LoaderJS}, nil
		})
	}}
}

var (
	quoted = regexp.MustCompile(`"([^"]*)"`)
	// aliasLike matches names that no package can have, or hardly any has.
	aliasLike = regexp.MustCompile(`^(@/|~|#|\$|src/|app/)`)
)

// A missingPackage marks the message that a package which the driver needs is not there.
type missingPackage string

// buildError picks the message that helps most: packages not installed, else the first syntax or resolution error.
func buildError(src Source, msgs []api.Message) error {
	for _, m := range msgs {
		if _, ok := m.Detail.(missingPackage); ok {
			return errs.NotFoundf("%s", m.Text).At("%s", src.Dir).
				Hintf("headgate reads the app's own packages: install them first").Then(installCommand(src.Dir))
		}
	}
	m := msgs[0]
	where := src.Entry
	if m.Location != nil {
		where = fmt.Sprintf("%s:%d:%d", filepath.ToSlash(m.Location.File), m.Location.Line, m.Location.Column+1)
	}
	e := errs.Invalidf("%s", m.Text).At("%s", where)
	switch name := quoted.FindStringSubmatch(m.Text); {
	case strings.HasPrefix(m.Text, "Top-level await"):
		e.Msg = "top-level await: the schema must be there as soon as its modules are evaluated"
		e.Hintf("headgate evaluates modules without waiting; move what waits into a function that the running app calls, and export a schema that is made at once")
	case strings.HasPrefix(m.Text, "Cannot read file"): // it found the name in another case, or a link that leads nowhere
		e.Msg = "can't read a file that is imported here"
		e.Hintf("is its name written as the file is, upper and lower case included?")
	case !strings.HasPrefix(m.Text, "Could not resolve"):
		e.Hintf("this is how esbuild reads the file: mend the TypeScript there")
	case name != nil && strings.HasPrefix(name[1], "."):
		e.Hintf("there is no such file; names are case-sensitive here")
	case name != nil && aliasLike.MatchString(name[1]):
		e.Hintf("it looks like a path alias: headgate reads compilerOptions.paths of the tsconfig.json above the file and of the ones that it extends or references, not a bundler's own aliases")
	default:
		e.Hintf("is the package installed, and named in the package.json of the module that imports it? A strict node_modules shows a package only what it names").
			Then(installCommand(src.Dir))
	}
	if n := len(msgs) - 1; n > 0 {
		e.Msg += fmt.Sprintf(" (and %d more errors)", n)
	}
	return e
}

// lockFiles are the lock files of the package managers, with the command that installs exactly what they say.
var lockFiles = []struct {
	name    string
	install []string
}{
	{"pnpm-lock.yaml", []string{"pnpm", "install", "--frozen-lockfile"}},
	{"yarn.lock", []string{"yarn", "install", "--frozen-lockfile"}},
	{"bun.lock", []string{"bun", "install", "--frozen-lockfile"}},
	{"bun.lockb", []string{"bun", "install", "--frozen-lockfile"}},
	{"package-lock.json", []string{"npm", "ci"}},
}

// LockFile finds the nearest lock file in dir or above it, not above top, and the command that installs its packages.
func LockFile(dir, top string) (path string, install []string, found bool) {
	for d := dir; ; d = filepath.Dir(d) {
		for _, l := range lockFiles {
			if _, err := os.Stat(filepath.Join(d, l.name)); err == nil {
				return filepath.Join(d, l.name), l.install, true
			}
		}
		if d == top || d == filepath.Dir(d) {
			return "", nil, false
		}
	}
}

func installCommand(dir string) string {
	_, install, found := LockFile(dir, "")
	if !found {
		return "npm install"
	}
	return strings.Join(install, " ")
}
