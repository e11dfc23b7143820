package cli

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// table writes rows in columns, two spaces apart, the last one as it is. The first row is the header.
func table(w io.Writer, rows [][]string) error {
	var width []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			b.WriteString(cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(b.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}

// each writes one thing after the other, an empty line in between.
func each[T any](w io.Writer, all []T, write func(io.Writer, T) error) error {
	for i, one := range all {
		if i > 0 {
			if _, err := fmt.Fprintln(w); err != nil {
				return err
			}
		}
		if err := write(w, one); err != nil {
			return err
		}
	}
	return nil
}
