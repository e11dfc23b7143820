package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"iter"
	"os"
	"strings"

	"headgate/internal/errs"
)

// A longResult is a result with lists that may be too long to be held: it writes itself.
type longResult interface{ writeJSON(j *jsonWriter) }

// renderLong prints a long result as JSON. It lies in a file until it is complete.
func (a *app) renderLong(r longResult) (err error) {
	file, err := privateFile()
	if err != nil {
		return err
	}
	defer discard(file)
	j := &jsonWriter{w: bufio.NewWriter(file)}
	j.object(func() { r.writeJSON(j) })
	j.put("\n")
	if j.err == nil {
		j.err = j.w.Flush()
	}
	if j.err == nil {
		_, j.err = file.Seek(0, io.SeekStart)
	}
	if j.err != nil {
		if errs.As(j.err) != nil {
			return j.err
		}
		return errs.New(errs.Internal, "can't write the result as JSON").Because(j.err)
	}
	a.rendered = true
	_, err = io.Copy(a.stdout, file)
	return err
}

// privateFile makes a file for this user alone, which a kill leaves no trace of where the system lets an open file be
// removed. The caller discards it.
func privateFile() (*os.File, error) {
	file, err := os.CreateTemp("", "headgate-result-") // 0600
	if err != nil {
		return nil, errs.New(errs.Internal, "can't make a temporary file").Because(err)
	}
	_ = os.Remove(file.Name()) // on Windows discard does
	return file, nil
}

func discard(file *os.File) {
	_ = file.Close() // nobody else knows it
	_ = os.Remove(file.Name())
}

// plainJSON is v as JSON in one line, with <, > and & as they are.
func plainJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// A jsonWriter writes one JSON object, member by member and its lists value by value, as [writeJSON] would write the whole.
// The first error ends it.
type jsonWriter struct {
	w     *bufio.Writer
	depth int
	some  bool // what is open has something in it
	err   error
}

func (j *jsonWriter) put(text string) {
	if j.err == nil {
		_, j.err = j.w.WriteString(text)
	}
}

// next begins the next member or value of what is open.
func (j *jsonWriter) next() {
	if j.some {
		j.put(",")
	}
	j.put("\n" + strings.Repeat("  ", j.depth))
	j.some = true
}

func (j *jsonWriter) nest(begin, end string, write func()) {
	j.put(begin)
	j.depth, j.some = j.depth+1, false
	write()
	j.depth--
	if j.some {
		j.put("\n" + strings.Repeat("  ", j.depth))
	}
	j.put(end)
	j.some = true
}

// object writes an object, whose members write writes.
func (j *jsonWriter) object(write func()) { j.nest("{", "}", write) }

func (j *jsonWriter) value(v any) {
	if j.err != nil {
		return
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent(strings.Repeat("  ", j.depth), "  ")
	if j.err = e.Encode(v); j.err == nil {
		j.put(strings.TrimSuffix(b.String(), "\n"))
	}
}

func (j *jsonWriter) name(name string) {
	j.next()
	j.put(`"` + name + `": `) // a word of ours
}

// member writes a member whose value can be held.
func (j *jsonWriter) member(name string, v any) {
	j.name(name)
	j.value(v)
}

// members writes the members of a struct.
func (j *jsonWriter) members(v any) {
	text, err := plainJSON(v)
	d := json.NewDecoder(bytes.NewReader(text))
	if err == nil {
		_, err = d.Token() // {
	}
	for err == nil && d.More() {
		var name json.Token
		var value json.RawMessage
		if name, err = d.Token(); err == nil {
			err = d.Decode(&value)
		}
		if word, ok := name.(string); ok && err == nil {
			j.member(word, value)
		}
	}
	if j.err == nil {
		j.err = err
	}
}

// writeList writes a member that is a list of objects, each of which write writes.
func writeList[T any](j *jsonWriter, name string, values iter.Seq2[T, error], write func(T)) {
	j.name(name)
	j.nest("[", "]", func() {
		for v, err := range values {
			if err != nil && j.err == nil {
				j.err = err
			}
			if j.err != nil {
				return
			}
			j.next()
			write(v)
		}
	})
}

// writeValues writes a member that is a list of values, each of which can be held.
func writeValues[T any](j *jsonWriter, name string, all iter.Seq2[T, error]) {
	writeList(j, name, all, func(v T) { j.value(v) })
}
