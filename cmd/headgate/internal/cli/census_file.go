package cli

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"
	"time"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/rollout"
)

// unknownRelease stands for that of a client which did not say it.
const unknownRelease = "none"

// A censusFile is a list of clients, read row by row.
type censusFile struct {
	*os.File
	name string // as it was typed
	now  time.Time
	from rollout.Source

	ahead int64 // rows whose time lay in the future, and was taken back to now
}

func openCensus(path, name string, now time.Time) (*censusFile, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errs.NotFoundf("there is no such file").At("%s", name).Then("headgate census import --help")
	}
	if err != nil {
		return nil, errs.New(errs.Internal, "can't read the file").At("%s", name).Because(err)
	}
	return &censusFile{File: f, name: name, now: now}, nil
}

// clients yields the rows, and at the first one that is wrong its line.
func (f *censusFile) clients(p *progress) iter.Seq2[control.Client, error] {
	return func(yield func(control.Client, error) bool) {
		in := bufio.NewReader(f.File)
		if mark, err := in.Peek(3); err == nil && bytes.Equal(mark, []byte("\ufeff")) {
			_, _ = in.Discard(3) // a byte order mark, as spreadsheets write it; it was peeked at
		}
		first, blank, err := firstByte(in)
		if errors.Is(err, io.EOF) {
			yield(control.Client{}, f.wrong(1, "the file is empty"))
			return
		}
		if err != nil {
			yield(control.Client{}, errs.New(errs.Internal, "can't read the file").At("%s", f.name).Because(err))
			return
		}
		rows := f.csv(in, blank)
		if first == '[' || first == '{' {
			rows = f.json(in, blank, first == '[')
		}
		for client, err := range rows {
			p.Add(1)
			if !yield(client, err) || err != nil {
				return
			}
		}
	}
}

// firstByte looks at the first byte that is no white space, and counts the line ends before it.
func firstByte(in *bufio.Reader) (first byte, lines int, err error) {
	for {
		b, err := in.ReadByte()
		if err != nil {
			return 0, lines, err
		}
		switch b {
		case '\n':
			lines++
		case ' ', '\t', '\r':
		default:
			return b, lines, in.UnreadByte()
		}
	}
}

func (f *censusFile) wrong(line int, format string, args ...any) *errs.Error {
	return errs.Invalidf(format, args...).At("%s:%d", f.name, line).Hintf("nothing was imported").Then("headgate census import --help")
}

// A censusRow is a row as files have it.
type censusRow struct {
	StoreID  string `json:"storeId"`
	ClientID string `json:"clientId"`
	Release  string `json:"release"`
	LastSeen string `json:"lastSeen"`
}

// future is how far in the future a client may have been seen: clocks differ.
const future = 24 * time.Hour

func (f *censusFile) client(line int, r censusRow) (control.Client, error) {
	for _, field := range [][2]string{{"storeId", r.StoreID}, {"clientId", r.ClientID}, {"release", r.Release}, {"lastSeen", r.LastSeen}} {
		if field[1] == "" {
			return control.Client{}, f.wrong(line, "%s is missing", field[0])
		}
	}
	if r.Release != unknownRelease && !config.IsVersion(r.Release) {
		return control.Client{}, f.wrong(line, "the release %q is not a semantic version, nor %s", r.Release, unknownRelease)
	}
	seen, err := time.Parse(time.RFC3339, r.LastSeen)
	if err != nil {
		return control.Client{}, f.wrong(line, "lastSeen %q is not a time like 2027-01-31T12:00:00Z", r.LastSeen)
	}
	if seen.After(f.now.Add(future)) {
		return control.Client{}, f.wrong(line, "lastSeen %s lies in the future", r.LastSeen)
	}
	if seen.After(f.now) {
		seen, f.ahead = f.now, f.ahead+1
	}
	return control.Client{Store: r.StoreID, ID: r.ClientID, Release: r.Release, LastSeen: seen, Source: f.from}, nil
}

func (f *censusFile) csv(in io.Reader, blank int) iter.Seq2[control.Client, error] {
	return func(yield func(control.Client, error) bool) {
		rows := csv.NewReader(in)
		rows.ReuseRecord = true
		header, err := rows.Read()
		if err != nil {
			yield(control.Client{}, f.csvError(err, blank))
			return
		}
		var at [4]int
		for i, name := range []string{"storeId", "clientId", "release", "lastSeen"} {
			at[i] = slices.IndexFunc(header, func(h string) bool { return strings.EqualFold(strings.TrimSpace(h), name) })
			if at[i] < 0 {
				yield(control.Client{}, f.wrong(blank+1, "the header has no column %s", name))
				return
			}
		}
		for {
			row, err := rows.Read()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(control.Client{}, f.csvError(err, blank))
				return
			}
			line, _ := rows.FieldPos(0)
			get := func(i int) string { return strings.Clone(strings.TrimSpace(row[at[i]])) }
			if !yield(f.client(blank+line, censusRow{get(0), get(1), get(2), get(3)})) {
				return
			}
		}
	}
}

func (f *censusFile) csvError(err error, blank int) error {
	var e *csv.ParseError
	if errors.As(err, &e) {
		return f.wrong(blank+e.Line, "not valid CSV: %v", e.Err)
	}
	return errs.New(errs.Internal, "can't read the file").At("%s", f.name).Because(err)
}

// json reads objects that stand one after the other, or in an array.
func (f *censusFile) json(in io.Reader, blank int, array bool) iter.Seq2[control.Client, error] {
	return func(yield func(control.Client, error) bool) {
		lines := &lineReader{in: in}
		dec := json.NewDecoder(lines)
		fail := func(err error) {
			var syntax *json.SyntaxError
			switch {
			case errors.As(err, &syntax):
				yield(control.Client{}, f.wrong(blank+lines.line(syntax.Offset), "not valid JSON: %v", err))
			case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
				yield(control.Client{}, f.wrong(blank+lines.line(dec.InputOffset()), "the JSON ends in the middle"))
			default:
				yield(control.Client{}, errs.New(errs.Internal, "can't read the file").At("%s", f.name).Because(err))
			}
		}
		if array {
			if _, err := dec.Token(); err != nil {
				fail(err)
				return
			}
		}
		for {
			if array && !dec.More() {
				if _, err := dec.Token(); err != nil { // the closing bracket
					fail(err)
				}
				return
			}
			var raw json.RawMessage
			err := dec.Decode(&raw)
			if errors.Is(err, io.EOF) && !array {
				return
			}
			if err != nil {
				fail(err)
				return
			}
			line := blank + lines.line(dec.InputOffset()-int64(len(raw)))
			var row censusRow
			if err := json.Unmarshal(raw, &row); err != nil {
				yield(control.Client{}, f.wrong(line, `a client is an object of texts: {"storeId": "…", "clientId": "…", "release": "1.2.0", "lastSeen": "…"}`))
				return
			}
			if !yield(f.client(line, row)) {
				return
			}
		}
	}
}

// A lineReader knows where the lines of what was read end.
type lineReader struct {
	in     io.Reader
	offset int64
	ends   []int64 // after the last place that was asked for
	passed int     // line ends before it
}

func (r *lineReader) Read(p []byte) (int, error) {
	n, err := r.in.Read(p)
	for i, b := range p[:n] {
		if b == '\n' {
			r.ends = append(r.ends, r.offset+int64(i))
		}
	}
	r.offset += int64(n)
	return n, err
}

// line is the line of a place, 1 for the first. Places must be asked for from the front to the back.
func (r *lineReader) line(offset int64) int {
	for len(r.ends) > 0 && r.ends[0] < offset {
		r.ends = r.ends[1:]
		r.passed++
	}
	return r.passed + 1
}
