package rollout

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"headgate/internal/errs"
)

// A decoder walks the YAML tree of a file and points at the line of whatever does not fit.
type decoder struct {
	file  string
	help  string // the command that explains the file
	begin string // what an empty file should begin with
}

// A field is one key of a mapping.
type field struct {
	read     func(n *yaml.Node, path string) error
	required bool
}

// root parses data into its one document.
func (d decoder) root(data []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return nil, errs.Invalidf("the file is empty").At("%s:1", d.file).Hintf("%s", d.begin).Then(d.help)
	}
	if err == nil {
		if err = dec.Decode(&second); err == nil {
			return nil, d.errorf(&second, "the file has a second YAML document").Hintf("remove the line `---` and what follows it")
		} else if errors.Is(err, io.EOF) {
			return doc.Content[0], nil
		}
	}
	msg, line := strings.TrimPrefix(err.Error(), "yaml: "), 1
	if m := regexp.MustCompile(`^line (\d+): `).FindStringSubmatch(msg); m != nil {
		line, _ = strconv.Atoi(m[1]) // digits
		msg = strings.TrimPrefix(msg, m[0])
		if regexp.MustCompile(`^did not find expected (node content|'-' indicator|key|',' or)`).MatchString(msg) {
			line++ // the library counts from 0 in its parser's errors, from 1 in its scanner's
		}
	}
	return nil, errs.Invalidf("not valid YAML: %s", msg).At("%s:%d", d.file, line).
		Hintf("look at indentation, quotes and brackets from this line on").Then(d.help)
}

func (d decoder) errorf(n *yaml.Node, format string, args ...any) *errs.Error {
	return errs.Invalidf(format, args...).At("%s:%d", d.file, n.Line).Then(d.help)
}

// mapping reads a mapping with exactly these keys.
func (d decoder) mapping(n *yaml.Node, path string, fields map[string]field) error {
	var known []string
	for name := range fields {
		known = append(known, name)
	}
	slices.Sort(known)
	seen := map[string]bool{}
	err := d.named(n, path, func(key, value *yaml.Node, path string) error {
		f, ok := fields[key.Value]
		if !ok {
			return d.errorf(key, "unknown key %q", path).Hintf("%s", didYouMean(key.Value, known))
		}
		seen[key.Value] = true
		return f.read(value, path)
	})
	if err != nil {
		return err
	}
	for _, name := range known {
		if fields[name].required && !seen[name] {
			return d.errorf(n, "%s is missing", join(path, name)).Hintf("add `%s:` here", name)
		}
	}
	return nil
}

// named reads a mapping from names to values, in the file's order.
func (d decoder) named(n *yaml.Node, path string, read func(key, value *yaml.Node, path string) error) error {
	n = resolve(n)
	if n.Kind != yaml.MappingNode {
		if path == "" {
			path = "the file"
		}
		return d.errorf(n, "%s must be a mapping, it is %s", path, kind(n))
	}
	seen := map[string]bool{}
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode:
			return d.errorf(key, "a key must be a single value, it is %s", kind(key))
		case seen[key.Value]:
			return d.errorf(key, "%s is there twice", join(path, key.Value)).Hintf("keep one of them")
		}
		seen[key.Value] = true
		if err := read(key, value, join(path, key.Value)); err != nil {
			return err
		}
	}
	return nil
}

// list reads a sequence.
func (d decoder) list(n *yaml.Node, path string, read func(n *yaml.Node, path string) error) error {
	n = resolve(n)
	if n.Kind != yaml.SequenceNode {
		return d.errorf(n, "%s must be a list, it is %s", path, kind(n)).Hintf("write [a, b], or one `- ` line each")
	}
	for i, item := range n.Content {
		if err := read(item, path+"["+strconv.Itoa(i)+"]"); err != nil {
			return err
		}
	}
	return nil
}

// text reads a scalar that is not empty.
func (d decoder) text(n *yaml.Node, path string) (string, error) {
	n = resolve(n)
	switch {
	case n.Kind != yaml.ScalarNode:
		return "", d.errorf(n, "%s must be a single value, it is %s", path, kind(n))
	case isNull(n) || strings.TrimSpace(n.Value) == "":
		return "", d.errorf(n, "%s has no value", path)
	}
	return n.Value, nil
}

// value returns a field that reads a text, and what set makes of it; set's error becomes one at the field's line, with
// the hint.
func (d decoder) value(set func(string) error, hint string) field {
	return field{read: func(n *yaml.Node, path string) error {
		v, err := d.text(n, path)
		if err != nil {
			return err
		}
		if err := set(v); err != nil {
			return d.errorf(resolve(n), "%s: %s", path, err).Hintf("%s", hint)
		}
		return nil
	}}
}

func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

func kind(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "empty"
	}
	return "a single value"
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// didYouMean names the one of the words that is near, or else all of them.
func didYouMean(word string, words []string) string {
	best, distance := "", 1+max(1, len(word)/3)
	for _, w := range words {
		if n := edits(strings.ToLower(word), strings.ToLower(w)); n < distance {
			best, distance = w, n
		}
	}
	if best != "" {
		return "did you mean " + best + "?"
	}
	return "there are: " + strings.Join(words, ", ")
}

// edits counts the bytes to insert, delete or replace between a and b.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(row[j]+1, diagonal+1, cost)
		}
	}
	return row[len(b)]
}
