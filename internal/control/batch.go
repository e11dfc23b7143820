package control

import (
	"iter"
	"strconv"
	"strings"
)

// batchRows is how many rows an INSERT has at most.
const batchRows = 200

// batches cuts a sequence into slices of at most batchRows values, and stops at its first error.
func batches[T any](values iter.Seq2[T, error], work func([]T) error) error {
	batch := make([]T, 0, batchRows)
	for v, err := range values {
		if err != nil {
			return err
		}
		if batch = append(batch, v); len(batch) == batchRows {
			if err := work(batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	if len(batch) == 0 {
		return nil
	}
	return work(batch)
}

// placeholders are those of n rows with width columns each: ($1, $2), ($3, $4).
func placeholders(n, width int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteByte('(')
		for j := range width {
			if j > 0 {
				b.WriteString(", ")
			}
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(i*width + j + 1))
		}
		b.WriteByte(')')
	}
	return b.String()
}

// list is n placeholders from a number on: $3, $4, $5.
func list(from, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(from + i))
	}
	return b.String()
}

// Values makes a sequence without errors of a slice.
func Values[T any](values []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, v := range values {
			if !yield(v, nil) {
				return
			}
		}
	}
}
