package bundle

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"sort"
	"strings"

	"github.com/evanw/esbuild/pkg/api"

	"headgate/internal/errs"
)

// moduleMark keeps a resolution of ours from being looked at again.
const moduleMark = "headgate-module"

// Module bundles a TypeScript module that stands for itself, with driver around it, which requires it as
// headgate:module. The module may import nothing but files from its own directory and below it, so that what it does
// hangs on no package and on nothing of the app. The script's Modules are relative to that directory. Errors name the
// file and line.
func Module(file, driver string) (*Script, error) {
	file, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	shown := filepath.Dir(file)
	dir, err := filepath.EvalSymlinks(shown) // as esbuild sees it
	if err != nil {
		return nil, errs.NotFoundf("no such directory").At("%s", shown).Because(err)
	}
	result := api.Build(api.BuildOptions{
		Stdin:         &api.StdinOptions{Contents: driver, ResolveDir: dir, Sourcefile: driverFile, Loader: api.LoaderJS},
		AbsWorkingDir: dir,
		Bundle:        true, Write: false,
		Outfile:       filepath.Join(dir, "headgate-module.js"),
		Format:        api.FormatIIFE,
		Platform:      api.PlatformNeutral,
		Target:        api.ES2022,
		LegalComments: api.LegalCommentsNone,
		Charset:       api.CharsetASCII, // so that a column is the same number in bytes and in characters
		Sourcemap:     api.SourceMapExternal, SourcesContent: api.SourcesContentExclude,
		Metafile:    true,
		TsconfigRaw: "{}", // the app's may change; the migration must not
		LogLevel:    api.LogLevelSilent,
		Plugins:     []api.Plugin{modulePlugin(dir, filepath.Base(file))},
	})
	if len(result.Errors) > 0 {
		return nil, moduleError(shown, file, result.Errors)
	}
	s := &Script{}
	var rawMap []byte
	for _, f := range result.OutputFiles {
		if strings.HasSuffix(f.Path, ".map") {
			rawMap = f.Contents
		} else {
			s.Code = string(f.Contents)
		}
	}
	var meta struct {
		Inputs map[string]json.RawMessage `json:"inputs"`
	}
	if err := json.Unmarshal([]byte(result.Metafile), &meta); err != nil {
		return nil, fmt.Errorf("read esbuild's metafile: %w", err)
	}
	for in := range meta.Inputs {
		if isAppFile(in) {
			s.Modules = append(s.Modules, filepath.ToSlash(in))
		}
	}
	sort.Strings(s.Modules)
	s.Map, err = compactMap(rawMap, s.Modules, nil)
	return s, err
}

func modulePlugin(dir, entry string) api.Plugin {
	refuse := func(text string) (api.OnResolveResult, error) {
		return api.OnResolveResult{Errors: []api.Message{{Text: text, Detail: moduleMark}}}, nil
	}
	return api.Plugin{Name: moduleMark, Setup: func(b api.PluginBuild) {
		b.OnResolve(api.OnResolveOptions{Filter: `.*`}, func(a api.OnResolveArgs) (api.OnResolveResult, error) {
			switch {
			case a.PluginData == moduleMark:
				return api.OnResolveResult{}, nil
			case a.Path == "headgate:module":
				return api.OnResolveResult{Path: filepath.Join(dir, entry)}, nil
			case !strings.HasPrefix(a.Path, "./") && !strings.HasPrefix(a.Path, "../"):
				return refuse(fmt.Sprintf("a migration imports files of its own directory, and not %q", a.Path))
			}
			r := b.Resolve(a.Path, api.ResolveOptions{ResolveDir: a.ResolveDir, Kind: a.Kind, Importer: a.Importer, PluginData: moduleMark})
			if len(r.Errors) > 0 {
				return refuse(fmt.Sprintf("there is no file %q", a.Path))
			}
			rel, err := filepath.Rel(dir, r.Path)
			if err != nil || !filepath.IsLocal(rel) || strings.Contains(filepath.ToSlash(rel), "node_modules/") {
				return refuse(fmt.Sprintf("a migration imports files of its own directory, and %q is elsewhere", a.Path))
			}
			return api.OnResolveResult{Path: r.Path}, nil
		})
	}}
}

// moduleError is the first error, in the file as the user knows it.
func moduleError(dir, file string, msgs []api.Message) error {
	m := msgs[0]
	where := file
	if m.Location != nil {
		where = fmt.Sprintf("%s:%d:%d", filepath.Join(dir, filepath.FromSlash(m.Location.File)), m.Location.Line, m.Location.Column+1)
	}
	e := errs.Invalidf("%s", m.Text).At("%s", where)
	if m.Detail == moduleMark {
		return e.Hintf("a migration that ran must not change, and what it imports is a part of it: copy what it needs beside it (types may be imported from anywhere)")
	}
	return e.Hintf("this is how esbuild reads the file: mend the TypeScript there")
}
