package server

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"time"

	"headgate/cmd/headgate/internal/api"
	"headgate/rollout/observe"
)

type object = map[string]any

// document is the OpenAPI document of the typed routes, made of the types that they take and give.
func document(version string) object {
	paths := object{}
	for _, rt := range routes() {
		if rt.in == nil {
			continue
		}
		item, ok := paths[rt.path].(object)
		if !ok {
			item = object{}
			paths[rt.path] = item
		}
		item[strings.ToLower(rt.method)] = operation(rt)
	}
	return object{
		"openapi": "3.1.0",
		"info":    object{"title": "headgate", "version": version, "description": "Makes changing the events of a LiveStore app safe."},
		"paths":   paths,
		"components": object{"securitySchemes": object{
			"bearer": object{"type": "http", "scheme": "bearer"},
			"key":    object{"type": "apiKey", "in": "header", "name": "X-API-Key"},
		}},
		"security": []any{object{"bearer": []any{}}, object{"key": []any{}}},
	}
}

func operation(rt route) object {
	parameters := []any{}
	for i := range rt.in.NumField() {
		f := rt.in.Field(i)
		for _, in := range []string{"path", "query"} {
			if name := f.Tag.Get(in); name != "" {
				p := object{"name": name, "in": in, "schema": schemaOf(f.Type), "required": in == "path"}
				if doc := f.Tag.Get("doc"); doc != "" {
					p["description"] = doc
				}
				parameters = append(parameters, p)
			}
		}
	}
	done := object{"202": object{"description": "taken over"}}
	if rt.out != nil {
		done = object{"200": object{"description": "done", "content": object{"application/json": object{"schema": schemaOf(rt.out)}}}}
	}
	failure := object{"application/problem+json": object{"schema": schemaOf(reflect.TypeFor[api.Problem]())}}
	if rt.out == nil {
		failure["application/json"] = object{"schema": schemaOf(reflect.TypeFor[observe.Failure]())} // the receiver's own
	}
	done["default"] = object{"description": "a failure", "content": failure}
	op := object{
		"operationId": operationID(rt), "summary": rt.summary, "description": "Takes the permission " + string(rt.needs) + ".",
		"responses": done,
	}
	if rt.method == http.MethodPost {
		if rt.out != nil {
			parameters = append(parameters, object{
				"name": api.KeyHeader, "in": "header", "schema": object{"type": "string", "maxLength": 200}, "required": false,
				"description": "a request that comes again with the same key is answered as before, for a day",
			})
		}
		op["requestBody"] = object{"required": true, "content": object{"application/json": object{"schema": schemaOf(rt.in)}}}
	}
	if rt.handle != nil {
		parameters = append(parameters, object{
			"name": api.EnvironmentHeader, "in": "header", "schema": object{"type": "string"}, "required": false,
			"description": "the environment that is meant: a server of another one refuses the request",
		})
	}
	op["parameters"] = parameters
	return op
}

// operationID is the method and the words of the path: postRunsPause.
func operationID(rt route) string {
	id := strings.ToLower(rt.method)
	for word := range strings.SplitSeq(strings.TrimPrefix(rt.path, "/v1/"), "/") {
		word = strings.Trim(word, "{}")
		id += strings.ToUpper(word[:1]) + word[1:]
	}
	return id
}

// schemaOf is the JSON schema of what encoding/json makes of a type.
func schemaOf(t reflect.Type) object {
	switch t {
	case reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case reflect.TypeFor[json.RawMessage]():
		return object{} // any JSON
	}
	switch t.Kind() {
	case reflect.Interface:
		return object{} // any JSON
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return object{"type": "integer"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Pointer:
		return object{"anyOf": []any{schemaOf(t.Elem()), object{"type": "null"}}}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": schemaOf(t.Elem())}
	case reflect.Slice:
		return object{"type": "array", "items": schemaOf(t.Elem())}
	case reflect.Struct:
		properties, required := object{}, []any{}
		for f := range fields(t) {
			name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			of := f.Type
			if options == "" {
				required = append(required, name)
			} else if of.Kind() == reflect.Pointer { // left out where it is nil
				of = of.Elem()
			}
			properties[name] = schemaOf(of)
		}
		return object{"type": "object", "properties": properties, "required": required, "additionalProperties": false}
	default:
		return object{"type": "string"}
	}
}

// fields yields the fields that encoding/json writes, those of embedded structs in their place.
func fields(t reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for _, f := range reflect.VisibleFields(t) {
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name == "" || name == "-" {
				continue
			}
			if !yield(f) {
				return
			}
		}
	}
}

func (s *Server) openapi(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, "application/json", document(s.Version))
}
