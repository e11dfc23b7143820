package bundle

import (
	"encoding/json"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

// esbuild reads the path aliases of the nearest tsconfig.json and of what it extends, but not of what it references:
// there, in tsconfig.app.json, is where Vite's templates have them.

// aliasMark keeps a resolution that an alias led to from being looked at again.
const aliasMark = "headgate-alias"

// referencedAliases lets b resolve what esbuild can't by the path aliases of referenced tsconfig files.
func referencedAliases(b api.PluginBuild) {
	known := map[string][]alias{} // by directory
	b.OnResolve(api.OnResolveOptions{Filter: `^[^./]`, Namespace: "file"}, func(a api.OnResolveArgs) (api.OnResolveResult, error) {
		if a.PluginData != nil || strings.Contains(filepath.ToSlash(a.ResolveDir), "/node_modules/") {
			return api.OnResolveResult{}, nil
		}
		aliases := aliasesAbove(a.ResolveDir, known)
		if len(aliases) == 0 {
			return api.OnResolveResult{}, nil
		}
		try := func(name string) (api.OnResolveResult, bool) {
			r := b.Resolve(name, api.ResolveOptions{ResolveDir: a.ResolveDir, Kind: a.Kind, Importer: a.Importer, PluginData: aliasMark})
			return api.OnResolveResult{Path: r.Path, Namespace: r.Namespace}, len(r.Errors) == 0 && r.Path != ""
		}
		for _, al := range aliases {
			for _, target := range al.targets(a.Path) {
				if out, ok := try(target); ok {
					return out, nil
				}
			}
		}
		return api.OnResolveResult{}, nil
	})
}

// An alias is one of compilerOptions.paths.
type alias struct {
	before, after string // of the pattern's star
	star          bool
	paths         []string // absolute, with the star in them
}

// targets are the files that a module name may mean.
func (a alias) targets(name string) []string {
	middle := ""
	switch {
	case !a.star && name != a.before:
		return nil
	case a.star:
		if len(name) < len(a.before)+len(a.after) || !strings.HasPrefix(name, a.before) || !strings.HasSuffix(name, a.after) {
			return nil
		}
		middle = name[len(a.before) : len(name)-len(a.after)]
	}
	var out []string
	for _, p := range a.paths {
		out = append(out, strings.Replace(p, "*", middle, 1))
	}
	return out
}

type tsconfig struct {
	References []struct {
		Path string `json:"path"`
	} `json:"references"`
	CompilerOptions struct {
		BaseURL string              `json:"baseUrl"`
		Paths   map[string][]string `json:"paths"`
	} `json:"compilerOptions"`
}

// aliasesAbove are the aliases of the configurations that the nearest tsconfig.json above dir references, when it has
// none itself.
func aliasesAbove(dir string, known map[string][]alias) []alias {
	if found, ok := known[dir]; ok {
		return found
	}
	var out []alias
	if c, ok := readTSConfig(filepath.Join(dir, "tsconfig.json")); ok {
		if len(c.CompilerOptions.Paths) == 0 {
			for _, ref := range c.References {
				file := filepath.Join(dir, filepath.FromSlash(ref.Path))
				if info, err := os.Stat(file); err == nil && info.IsDir() {
					file = filepath.Join(file, "tsconfig.json")
				}
				if r, ok := readTSConfig(file); ok {
					out = append(out, r.aliases(filepath.Dir(file))...)
				}
			}
		}
	} else if up := filepath.Dir(dir); up != dir {
		out = aliasesAbove(up, known)
	}
	known[dir] = out
	return out
}

func (c tsconfig) aliases(dir string) []alias {
	base := filepath.Join(dir, filepath.FromSlash(c.CompilerOptions.BaseURL))
	var out []alias
	for pattern, paths := range c.CompilerOptions.Paths {
		a := alias{}
		a.before, a.after, a.star = strings.Cut(pattern, "*")
		for _, p := range paths {
			if !path.IsAbs(p) {
				p = filepath.Join(base, filepath.FromSlash(p))
			}
			a.paths = append(a.paths, p)
		}
		out = append(out, a)
	}
	return out
}

func readTSConfig(file string) (tsconfig, bool) {
	var c tsconfig
	text, err := os.ReadFile(file)
	if err != nil {
		return c, false
	}
	return c, json.Unmarshal(plainJSON(text), &c) == nil
}

// plainJSON takes comments and trailing commas out of what TypeScript accepts as JSON.
func plainJSON(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		rest := text[i:]
		switch {
		case rest[0] == '"':
			n := 1
			for n < len(rest) && rest[n] != '"' {
				if rest[n] == '\\' {
					n++
				}
				n++
			}
			n = min(n+1, len(rest))
			out = append(out, rest[:n]...)
			i += n - 1
		case strings.HasPrefix(string(rest[:min(2, len(rest))]), "//"):
			n := strings.IndexByte(string(rest), '\n')
			if n < 0 {
				return out
			}
			i += n - 1
		case strings.HasPrefix(string(rest[:min(2, len(rest))]), "/*"):
			n := strings.Index(string(rest[2:]), "*/")
			if n < 0 {
				return out
			}
			i += n + 3
		case rest[0] == '}' || rest[0] == ']':
			k := len(out)
			for k > 0 && strings.IndexByte(" \t\r\n", out[k-1]) >= 0 {
				k--
			}
			if k > 0 && out[k-1] == ',' {
				out = append(out[:k-1], out[k:]...)
			}
			out = append(out, rest[0])
		default:
			out = append(out, rest[0])
		}
	}
	return out
}
