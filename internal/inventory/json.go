package inventory

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"headgate/internal/errs"
)

// readJSON reads an array of objects, or objects one after the other. Errors of reading go through failed.
func readJSON(r io.Reader, sink *sink, failed func(error) error) error {
	in := bufio.NewReader(r)
	first, err := firstByte(in)
	if errors.Is(err, io.EOF) {
		return nil // no stores
	}
	if err != nil {
		return failed(err)
	}
	dec := json.NewDecoder(in)
	array := first == '['
	if array {
		_, _ = dec.Token() // the bracket
	}
	n := 1
	for ; !array || dec.More(); n++ {
		err := object(dec, n, sink)
		if errors.Is(err, io.EOF) && !array {
			return nil
		}
		if err != nil {
			return jsonError(err, sink.place(n), failed)
		}
	}
	if _, err := dec.Token(); err != nil { // the closing bracket
		return jsonError(err, sink.place(n), failed)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errs.Invalidf("something follows the array of stores").At("%s", sink.place(n))
	}
	return nil
}

// object reads one store. It returns io.EOF only where nothing is left.
func object(dec *json.Decoder, n int, sink *sink) error {
	where := sink.place(n)
	var raw json.RawMessage
	if err := dec.Decode(&raw); err != nil {
		return err
	}
	if raw[0] != '{' {
		return errs.Invalidf("a store is not a JSON object").At("%s", where).Hintf(`write {"id": "…"}`)
	}
	// By tokens, since a map would hide a column that is there twice.
	in := json.NewDecoder(bytes.NewReader(raw))
	_, _ = in.Token() // the brace
	var names []string
	values := map[string]string{}
	for in.More() {
		key, err := in.Token()
		if err != nil {
			return err
		}
		name := fmt.Sprint(key)
		names = append(names, name)
		if err := sink.columns(names, where); err != nil {
			return err
		}
		var value any
		if err := in.Decode(&value); err != nil {
			return err
		}
		switch v := value.(type) {
		case nil:
		case string:
			values[name] = v
		case bool:
			if name != "idle" {
				return errs.Invalidf("column %q is not a string", name).At("%s", where)
			}
			values[name] = strconv.FormatBool(v)
		default:
			return errs.Invalidf("column %q is not a string", name).At("%s", where)
		}
	}
	return sink.row(func(column string) string { return values[column] }, n)
}

func jsonError(err error, where string, failed func(error) error) error {
	var syntax *json.SyntaxError
	switch {
	case errs.As(err) != nil:
		return err
	case errors.As(err, &syntax), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return errs.Invalidf("not valid JSON").At("%s", where).Hintf("it is an array of objects, or one object per line")
	}
	return failed(err)
}

// firstByte looks at the first byte that is not a space.
func firstByte(in *bufio.Reader) (byte, error) {
	for {
		b, err := in.ReadByte()
		if err != nil {
			return 0, err
		}
		if b != ' ' && b != '\n' && b != '\r' && b != '\t' {
			return b, in.UnreadByte()
		}
	}
}
