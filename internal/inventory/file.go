package inventory

import (
	"bufio"
	"encoding/csv"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"headgate/internal/errs"
)

// maxYAML is how large a YAML file may be, in bytes: its parser holds it all.
const maxYAML = 32 << 20

func (s Source) readFile(sink *sink) error {
	f, err := os.Open(s.File)
	if errors.Is(err, fs.ErrNotExist) {
		return errs.NotFoundf("there is no such inventory").At("%s", s.File).Hintf("%s names it", s.Where)
	}
	if err != nil {
		return s.cantRead(err)
	}
	defer f.Close()
	switch strings.ToLower(filepath.Ext(s.File)) {
	case ".csv":
		return s.readCSV(f, sink)
	case ".yaml", ".yml":
		return s.readYAML(f, sink)
	default:
		return readJSON(f, sink, s.cantRead)
	}
}

func (s Source) cantRead(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return errs.New(errs.Internal, "can't read the inventory").At("%s", s.File).Because(err)
}

func (s Source) readCSV(f io.Reader, sink *sink) error {
	in := bufio.NewReader(f)
	if bom, err := in.Peek(3); err == nil && string(bom) == "\ufeff" { // a spreadsheet's
		_, _ = in.Discard(3)
	}
	r := csv.NewReader(in)
	r.ReuseRecord = true
	head, err := r.Read()
	if errors.Is(err, io.EOF) {
		return errs.Invalidf("the inventory is empty").At("%s:1", s.File).Hintf("its first line names the columns: id,schema,log,region,state,idle")
	}
	if err != nil {
		return s.csvError(err)
	}
	at := map[string]int{}
	names := append([]string(nil), head...)
	for i, name := range names {
		at[name] = i
	}
	if err := errors.Join(sink.columns(names, s.Place(1)), sink.hasID(names, s.Place(1))); err != nil {
		return err
	}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return s.csvError(err)
		}
		line, _ := r.FieldPos(0)
		get := func(column string) string {
			if i, ok := at[column]; ok {
				return strings.Clone(record[i]) // a record is one string, which a field would keep
			}
			return ""
		}
		if err := sink.row(get, line); err != nil {
			return err
		}
	}
}

func (s Source) csvError(err error) error {
	var pe *csv.ParseError
	if !errors.As(err, &pe) {
		return s.cantRead(err)
	}
	hint := "a value with a comma or a quote stands in double quotes"
	if errors.Is(pe.Err, csv.ErrFieldCount) {
		hint = "every line has as many values as the first one; an empty value stands between two commas"
	}
	return errs.Invalidf("not valid CSV: %v", pe.Err).At("%s:%d", s.File, pe.Line).Hintf("%s", hint)
}

func (s Source) readYAML(f io.Reader, sink *sink) error {
	data, err := io.ReadAll(io.LimitReader(f, maxYAML+1))
	if err != nil {
		return s.cantRead(err)
	}
	if len(data) > maxYAML {
		return errs.Invalidf("the inventory is larger than %d MB", maxYAML>>20).At("%s", s.File).Hintf("write it as CSV or JSON, which are read row by row")
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return errs.Invalidf("not valid YAML").At("%s", s.File).Because(errors.New(strings.TrimPrefix(err.Error(), "yaml: ")))
	}
	if len(doc.Content) == 0 || doc.Content[0].Kind != yaml.SequenceNode {
		return errs.Invalidf("the inventory is not a list of stores").At("%s:1", s.File).Hintf("write one `- {id: …}` per store")
	}
	for _, item := range doc.Content[0].Content {
		if err := s.yamlRow(item, sink); err != nil {
			return err
		}
	}
	return nil
}

func (s Source) yamlRow(item *yaml.Node, sink *sink) error {
	where := s.Place(item.Line)
	if item.Kind != yaml.MappingNode {
		return errs.Invalidf("a store is not a mapping of columns").At("%s", where).Hintf("write `- {id: …}`")
	}
	var names []string
	values := map[string]string{}
	for i := 0; i < len(item.Content); i += 2 {
		key, value := item.Content[i], item.Content[i+1]
		if value.Kind != yaml.ScalarNode {
			return errs.Invalidf("column %q is not a single value", key.Value).At("%s:%d", s.File, value.Line)
		}
		names = append(names, key.Value)
		if value.ShortTag() != "!!null" {
			values[key.Value] = value.Value
		}
	}
	if err := sink.columns(names, where); err != nil {
		return err
	}
	return sink.row(func(column string) string { return values[column] }, item.Line)
}
