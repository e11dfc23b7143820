package bundle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/evanw/esbuild/pkg/api"

	"headgate/internal/livestore/script"
)

// A place maps a position of the bundle to one of the app's own files. Lines and columns count from 0 here.
type place struct {
	line, col     int // in the bundle
	file          int // index into Modules, -1 for code that is not the app's
	srcLine, srcC int
}

// compactMap keeps what headgate needs of esbuild's source map: the app's own files, no packages, no text. cuts are
// what was taken out of the code since. The form is one flat JSON array of rows of five, [line, col, file, srcLine,
// srcCol], all but file as the difference to the row before.
func compactMap(raw []byte, modules []string, cuts []cut) (string, error) {
	places, err := decodeMap(raw, modules)
	if err != nil {
		return "", err
	}
	next, line, gone := 0, -1, 0
	for i := range places {
		p := &places[i]
		if p.line != line {
			line, gone = p.line, 0
		}
		for next < len(cuts) && (cuts[next].line < p.line || cuts[next].line == p.line && cuts[next].col < p.col) {
			if cuts[next].line == p.line {
				gone += cuts[next].length
			}
			next++
		}
		p.col -= gone
	}
	flat := make([]int, 0, len(places)*5)
	var prev place
	for _, p := range places {
		flat = append(flat, p.line-prev.line, p.col-prev.col, p.file, p.srcLine-prev.srcLine, p.srcC-prev.srcC)
		prev = p
	}
	b, err := json.Marshal(flat)
	return string(b), err
}

func decodeMap(raw []byte, modules []string) ([]place, error) {
	var m struct {
		Sources  []string `json:"sources"`
		Mappings string   `json:"mappings"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("read esbuild's source map: %w", err)
	}
	index := map[string]int{}
	for i, f := range modules {
		index[f] = i
	}
	file := make([]int, len(m.Sources))
	for i, s := range m.Sources {
		file[i] = -1
		if at, ok := index[filepath.ToSlash(s)]; ok {
			file[i] = at
		}
	}
	var out []place
	src, srcLine, srcCol := 0, 0, 0
	last := -1
	for line, text := range strings.Split(m.Mappings, ";") {
		col := 0
		for seg := range strings.SplitSeq(text, ",") {
			if seg == "" {
				continue
			}
			v, err := decodeVLQ(seg)
			if err != nil {
				return nil, err
			}
			col += v[0]
			f := -1
			if len(v) >= 4 {
				src, srcLine, srcCol = src+v[1], srcLine+v[2], srcCol+v[3]
				if src >= 0 && src < len(file) {
					f = file[src]
				}
			}
			if f < 0 && last < 0 {
				continue // one row ends a run of the app's code; further ones say nothing
			}
			p := place{line: line, col: col, file: f}
			if f >= 0 {
				p.srcLine, p.srcC = srcLine, srcCol
			}
			out, last = append(out, p), f
		}
	}
	return out, nil
}

const base64VLQ = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

func decodeVLQ(s string) ([]int, error) {
	var out []int
	shift, value := 0, 0
	for _, c := range s {
		d := strings.IndexRune(base64VLQ, c)
		if d < 0 {
			return nil, fmt.Errorf("source map: %q is no VLQ", s)
		}
		value |= (d & 31) << shift
		if d&32 != 0 {
			shift += 5
			continue
		}
		if value&1 != 0 {
			value = -(value >> 1)
		} else {
			value >>= 1
		}
		out = append(out, value)
		shift, value = 0, 0
	}
	return out, nil
}

func (s *Script) places() []place {
	var flat []int
	if err := json.Unmarshal([]byte(s.Map), &flat); err != nil {
		return nil
	}
	out := make([]place, 0, len(flat)/5)
	var prev place
	for i := 0; i+4 < len(flat); i += 5 {
		prev = place{prev.line + flat[i], prev.col + flat[i+1], flat[i+2], prev.srcLine + flat[i+3], prev.srcC + flat[i+4]}
		out = append(out, prev)
	}
	return out
}

// Locate names the innermost frame that lies in the app's own code, as "src/schema.ts:12:3 (in titleOf)"; empty
// when there is none.
func (s *Script) Locate(stack []script.Frame) string {
	places := s.places()
	for _, f := range stack {
		i := sort.Search(len(places), func(i int) bool {
			p := places[i]
			return p.line > f.Line-1 || p.line == f.Line-1 && p.col > f.Column-1
		}) - 1
		if i < 0 || places[i].file < 0 || places[i].file >= len(s.Modules) {
			continue
		}
		p := places[i]
		at := fmt.Sprintf("%s:%d:%d", s.Modules[p.file], p.srcLine+1, p.srcC+1)
		if f.Function != "" {
			at += " (in " + f.Function + ")"
		}
		return at
	}
	return ""
}

// LocateTrace is Locate for a stack trace as text.
func (s *Script) LocateTrace(trace string) string { return s.Locate(script.ParseStack(trace)) }

// withoutMaps has esbuild read packages without their source maps, which take a fifth of its time and lead nowhere that
// headgate looks at.
func withoutMaps(b api.PluginBuild) {
	b.OnLoad(api.OnLoadOptions{Filter: `[/\\]node_modules[/\\].*\.[cm]?js$`, Namespace: "file"}, func(a api.OnLoadArgs) (api.OnLoadResult, error) {
		text, err := os.ReadFile(a.Path)
		if err != nil {
			return api.OnLoadResult{}, nil //nolint:nilerr // esbuild says better what is wrong
		}
		end := bytes.TrimRight(text, " \r\n")
		last := bytes.LastIndexByte(end, '\n') + 1
		if !bytes.HasPrefix(end[last:], []byte("//# sourceMappingURL=")) {
			return api.OnLoadResult{}, nil
		}
		code := string(text[:last])
		return api.OnLoadResult{Contents: &code, Loader: api.LoaderJS}, nil
	})
}
