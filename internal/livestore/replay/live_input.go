package replay

import (
	"encoding/csv"
	"errors"
	"io"
	"strings"

	"headgate/internal/errs"
	"headgate/internal/livestore/engine"
)

// An Input is a table of outside values that the queries of a [Live] can read beside the state's tables. It is a
// TEMP table, so that it is in no snapshot and never gets into the state. All its columns are TEXT, and an empty
// field is the empty text.
type Input struct {
	Table string `json:"table"`
	CSV   string `json:"csv"` // RFC 4180, in UTF-8, with a header row
}

// maxInputColumns is how many columns SQLite takes parameters for, with room to spare.
const maxInputColumns = 1000

// An InputError is what is wrong with an Input's text, and in which line of it.
type InputError struct {
	Line int
	Err  *errs.Error
}

// Error returns the text of e.Err.
func (e *InputError) Error() string { return e.Err.Error() }

// Unwrap returns e.Err.
func (e *InputError) Unwrap() error { return e.Err }

// Records calls row with the fields of the header and of each row after it, and the line that they begin on. The slice
// is used again. What is wrong with the text is an [*InputError]; it quotes no field but those of the header. An empty
// line is no row, as in every reader of RFC 4180, so that a row of one empty field is written "".
func (in Input) Records(row func(line int, fields []string) error) error {
	text := strings.TrimPrefix(in.CSV, "\ufeff")
	if err := plainText(text); err != nil {
		return err
	}
	r := csv.NewReader(strings.NewReader(text))
	r.ReuseRecord = true
	for n := 0; ; n++ {
		fields, err := r.Read()
		switch {
		case errors.Is(err, io.EOF) && n == 0:
			return badInput(1, "its first line names the columns", "the file has no header row")
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return badRecord(err, r.FieldsPerRecord)
		}
		line, _ := r.FieldPos(0)
		if n == 0 {
			if err := header(line, fields); err != nil {
				return err
			}
		}
		if err := row(line, fields); err != nil {
			return err
		}
	}
}

func badInput(line int, hint, format string, args ...any) error {
	return &InputError{line, errs.Invalidf(format, args...).Hintf("%s", hint)}
}

// plainText refuses what no TEXT column could hold as it is.
func plainText(text string) error {
	if i := strings.IndexByte(text, 0); i >= 0 {
		return badInput(1+strings.Count(text[:i], "\n"), "save the file as UTF-8 text", "the line holds a zero byte")
	}
	for at, line := 0, 1; at < len(text); line++ {
		end := strings.IndexByte(text[at:], '\n') + 1
		if end == 0 {
			end = len(text) - at
		}
		if strings.ToValidUTF8(text[at:at+end], "") != text[at:at+end] {
			return badInput(line, "save the file as UTF-8 text", "the line is not UTF-8")
		}
		at += end
	}
	return nil
}

func badRecord(err error, columns int) error {
	var p *csv.ParseError
	if !errors.As(err, &p) {
		return err
	}
	switch {
	case errors.Is(p.Err, csv.ErrFieldCount):
		return badInput(p.StartLine, "a field that holds a comma, a quote or a line break stands in double quotes",
			"the row has another number of fields than the header, which has %d", columns)
	case errors.Is(p.Err, csv.ErrBareQuote):
		return badInput(p.Line, "put double quotes around the field, and double those inside of it",
			"there is a quote inside of a field that has no quotes around it")
	}
	return badInput(p.Line, "a quote inside of a quoted field is doubled", "a quoted field has no end, or something follows after its quote")
}

func header(line int, names []string) error {
	if len(names) > maxInputColumns {
		return badInput(line, "is this a CSV file, with commas?", "the header names %d columns, at most %d are read", len(names), maxInputColumns)
	}
	seen := map[string]bool{}
	for i, n := range names {
		lower := strings.ToLower(n) // SQLite takes names that differ in case for one
		switch {
		case n == "":
			return badInput(line, "the file's first line names the columns", "column %d has no name", i+1)
		case seen[lower]:
			return badInput(line, "SQLite tells no names apart by upper and lower case alone", "two columns are called %q", n)
		}
		seen[lower] = true
	}
	return nil
}

// create makes the table and fills it.
func (in Input) create(db *engine.DB) error {
	exec := func(sql string, values ...any) error { return db.Exec(sql, engine.Positional(values...)) }
	// Outside values don't belong into a file that a killed child would leave behind.
	if err := exec("PRAGMA temp_store=MEMORY"); err != nil {
		return err
	}
	if err := exec("BEGIN"); err != nil {
		return err
	}
	insert := ""
	err := in.Records(func(_ int, fields []string) error {
		if insert == "" {
			insert = "INSERT INTO temp." + quoteName(in.Table) + " VALUES (?" + strings.Repeat(", ?", len(fields)-1) + ")"
			var columns []string
			for _, f := range fields {
				columns = append(columns, quoteName(f)+" TEXT NOT NULL")
			}
			return exec("CREATE TEMP TABLE " + quoteName(in.Table) + " (" + strings.Join(columns, ", ") + ")")
		}
		values := make([]any, len(fields))
		for i, f := range fields {
			values[i] = f
		}
		return exec(insert, values...)
	})
	if err != nil {
		return err
	}
	return exec("COMMIT")
}

func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
