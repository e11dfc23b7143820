package migrations

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"headgate/internal/errs"
	"headgate/internal/livestore/replay"
	"headgate/internal/livestore/schema"
)

// MaxInputBytes is how large an input file, or a file that a module imports, may be.
const MaxInputBytes = 16 << 20

// An Input is a CSV file beside the migration, which its queries read as a table of that name.
type Input struct {
	File  string `json:"file"`
	Table string `json:"table"`
	Rows  int    `json:"rows"`
	Line  int    `json:"line"` // of the directive

	csv  string
	read bool // false after Parse alone, which opens no file
}

// tableName matches what SQL takes for a name without quotes.
var tableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// input reads the directive: `input FILE.csv`.
func (p *parser) input(line int, file string) error {
	table, isCSV := strings.CutSuffix(file, ".csv")
	hint := "a CSV file beside the migration, named as its table is to be: -- headgate: input owners.csv"
	switch lower := strings.ToLower(table); {
	case p.up:
		return p.bad(line, "%q belongs before `-- +goose Up`", "input")
	case file == "":
		return p.bad(line, "%q says nothing", "input").Hintf("%s", hint)
	case strings.ContainsAny(file, `/\`):
		return p.bad(line, "the input %s is not beside the migration", file).Hintf("%s", hint)
	case !isCSV:
		return p.bad(line, "the input %s does not end in .csv", file).Hintf("%s", hint)
	case !tableName.MatchString(table):
		return p.bad(line, "%q can't be a table's name", table).Hintf("rename the file: letters, digits and underscores, and no digit first")
	case strings.HasPrefix(lower, "sqlite_") || strings.HasPrefix(lower, "__livestore_"):
		return p.bad(line, "tables called %s… belong to others", table[:strings.LastIndexByte(table, '_')+1]).Hintf("rename the file")
	}
	if i := slices.IndexFunc(p.def.Inputs, func(o Input) bool { return strings.EqualFold(o.Table, table) }); i >= 0 {
		return p.bad(line, "%s is an input already, on line %d", table, p.def.Inputs[i].Line)
	}
	p.def.Inputs = append(p.def.Inputs, Input{File: file, Table: table, Line: line})
	return nil
}

// readInputs reads the definition's input files, which makes them a part of its checksum.
func (d *Definition) readInputs() error {
	var parts []part
	for i := range d.Inputs {
		in := &d.Inputs[i]
		path := filepath.Join(filepath.Dir(d.Path), in.File)
		data, err := readFile(path, MaxInputBytes)
		if errors.Is(err, fs.ErrNotExist) {
			return errs.NotFoundf("there is no file %s beside the migration", in.File).At("%s:%d", d.Path, in.Line)
		}
		if err != nil {
			return err
		}
		in.csv, in.read, in.Rows = string(data), true, -1 // the header is none
		err = in.table().Records(func(int, []string) error {
			in.Rows++
			return nil
		})
		var bad *replay.InputError
		if errors.As(err, &bad) {
			return bad.Err.At("%s:%d", path, bad.Line)
		}
		if err != nil {
			return err
		}
		parts = append(parts, part{in.File, data})
	}
	d.Checksum = joined(d.Checksum, parts)
	return nil
}

func (in Input) table() replay.Input { return replay.Input{Table: in.Table, CSV: in.csv} }

// inputs are the tables for a state of the release.
func (d Definition) inputs(r *schema.Release) ([]replay.Input, error) {
	var out []replay.Input
	for _, in := range d.Inputs {
		if taken, ok := in.taken(r); ok {
			return nil, errs.Invalidf("%s", taken.Msg).At("%s:%d", d.Path, taken.Line).Hintf("%s", taken.Hint)
		}
		if !in.read {
			return nil, fmt.Errorf("the input %s of %s was not read", in.File, d.Name)
		}
		out = append(out, in.table())
	}
	return out, nil
}

// taken reports whether the release has a table of the input's name, which would hide it from the queries, or from its
// materializers.
func (in Input) taken(r *schema.Release) (Problem, bool) {
	for _, t := range r.Tables {
		if strings.EqualFold(t.Name, in.Table) {
			return Problem{
				Line: in.Line, Msg: fmt.Sprintf("the input %s would hide the table %s of release %s", in.File, t.Name, r.Version),
				Hint: "rename the file, and the table in the queries",
			}, true
		}
	}
	return Problem{}, false
}

// readFile reads a file of at most most bytes. A missing one is fs.ErrNotExist.
func readFile(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > most {
		return nil, errs.Invalidf("it has %d bytes, and at most %d MB are read", info.Size(), most>>20).At("%s", path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, errs.New(errs.Internal, "can't read the file").At("%s", path).Because(err)
	}
	return data, nil
}
