package history

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Faults are what is wrong with a value.
type Faults []Fault

// Fault is one of them: where, as a JSON Pointer, and why.
type Fault struct{ Pointer, Why string }

func (faults Faults) Error() string {
	texts := make([]string, len(faults))
	for i, fault := range faults {
		texts[i] = strings.TrimSpace(fault.Pointer + " " + fault.Why)
	}
	return strings.Join(texts, "; ")
}

// Is ErrVersion, if it is the version of a header or document that is wrong.
func (faults Faults) Is(target error) bool {
	for _, fault := range faults {
		if target == ErrVersion && fault.Pointer == "/version" {
			return true
		}
	}
	return false
}

func (faults *Faults) add(pointer string, why any) {
	if len(*faults) < 100 { // whoever reads them has seen enough
		*faults = append(*faults, Fault{pointer, fmt.Sprint(why)})
	}
}

type object map[string]json.RawMessage

// members are those of an object, as they are written. Of a name that occurs twice, the last one counts.
func members(data []byte) (found object, err error) {
	if !utf8.Valid(data) {
		return nil, errors.New("not UTF-8") // encoding/json would read U+FFFD
	}
	if err = json.Unmarshal(data, &found); err == nil && found == nil {
		err = errors.New("null")
	}
	return found, err
}

// decode fills a struct of kinds.go with a writer's values: UUIDs in lower case, times in UTC, all digits of decimals.
// It is stricter than encoding/json, which ignores the case of names, members that are missing, and null.
func decode(data []byte, into any) error {
	var faults Faults
	faults.decode("", data, reflect.ValueOf(into).Elem(), "")
	if faults == nil {
		return nil
	}
	sort.SliceStable(faults, func(i, j int) bool { return faults[i].Pointer < faults[j].Pointer })
	return faults
}

func (faults *Faults) decode(pointer string, data []byte, into reflect.Value, is string) {
	var err error
	switch null := string(data) == "null"; {
	case null && strings.HasSuffix(is, " or null"):
	case null:
		err = errors.New("null")
	case is == "json":
		into.SetBytes(append([]byte(nil), data...))
	case into.Kind() == reflect.Pointer:
		into.Set(reflect.New(into.Type().Elem()))
		faults.decode(pointer, data, into.Elem(), is)
	case into.Kind() == reflect.Struct:
		err = faults.object(pointer, data, into)
	case into.Kind() == reflect.Map:
		err = faults.counts(pointer, data, into)
	case into.Kind() == reflect.Slice:
		err = faults.array(pointer, data, into, is)
	case into.Kind() == reflect.Int64:
		var number int64
		number, err = integer(data, bounds[is])
		into.SetInt(number)
	case into.Kind() == reflect.String:
		var text string
		text, err = textOf(data, rules[strings.TrimSuffix(is, " or null")])
		into.SetString(text)
	default:
		err = json.Unmarshal(data, into.Addr().Interface())
	}
	if err != nil {
		faults.add(pointer, err)
	}
}

func (faults *Faults) object(pointer string, data []byte, into reflect.Value) error {
	found, err := members(data)
	if err != nil {
		return err
	}
	if choice, ok := into.Interface().(interface{ oneOf() (string, []string) }); ok {
		if where, names := choice.oneOf(); !found.any(names) {
			faults.add(pointer+where, "missing is one of "+strings.Join(names, ", "))
		}
	}
	for _, field := range reflect.VisibleFields(into.Type()) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		is := field.Tag.Get("is")
		value, given := found[name]
		switch {
		case field.Anonymous: // its fields are visible too
		case given:
			faults.decode(pointer+"/"+name, value, into.FieldByIndex(field.Index), strings.TrimSuffix(is, "?"))
			delete(found, name)
		case !strings.HasSuffix(is, "?"):
			faults.add(pointer+"/"+name, "missing")
		}
	}
	for name := range found {
		faults.add(pointer+"/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(name), "unknown")
	}
	return nil
}

func (found object) any(names []string) bool {
	for _, name := range names {
		if _, given := found[name]; given {
			return true
		}
	}
	return false
}

func (faults *Faults) array(pointer string, data []byte, into reflect.Value, is string) error {
	var items []json.RawMessage
	if err := json.Unmarshal(data, &items); err != nil {
		return err
	}
	seen := map[string]bool{}
	into.Set(reflect.MakeSlice(into.Type(), len(items), len(items)))
	for i, item := range items {
		faults.decode(pointer+"/"+strconv.Itoa(i), item, into.Index(i), is)
		if kind := into.Index(i); kind.Kind() == reflect.String && seen[kind.String()] {
			faults.add(pointer, kind.String()+" twice")
		} else if kind.Kind() == reflect.String {
			seen[kind.String()] = true
		}
	}
	return nil
}

func (faults *Faults) counts(pointer string, data []byte, into reflect.Value) error {
	found, err := members(data)
	into.Set(reflect.MakeMap(into.Type()))
	for kind, value := range found {
		if !contains(Kinds, kind) {
			faults.add(pointer+"/"+kind, "unknown")
		}
		count := reflect.New(into.Type().Elem()).Elem()
		faults.decode(pointer+"/"+kind, value, count, "count")
		into.SetMapIndex(reflect.ValueOf(kind), count)
	}
	return err
}

var bounds = map[string][2]float64{
	"number": {0, math.MaxInt32}, "positive": {1, math.MaxInt32}, "count": {0, 1<<53 - 1},
}

// integer reads a number as the double that it is: 2.0 and 2e0 are 2.
func integer(data []byte, bound [2]float64) (int64, error) {
	number, err := strconv.ParseFloat(string(data), 64)
	if err != nil || number != math.Trunc(number) || number < bound[0] || number > bound[1] {
		return 0, fmt.Errorf("%.40s is no integer from %.0f to %.0f", data, bound[0], bound[1])
	}
	return int64(number), nil
}

// The escape for half of a surrogate pair is in the group; encoding/json would read U+FFFD.
var surrogates = regexp.MustCompile(`\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F]..)|.)`)

func textOf(data []byte, check rule) (text string, err error) {
	if err = json.Unmarshal(data, &text); err != nil {
		return "", err
	}
	if bytes.IndexByte(data, '\\') >= 0 {
		for _, escape := range surrogates.FindAllSubmatch(data, -1) {
			if escape[1] != nil {
				return "", fmt.Errorf("half of a surrogate pair: %s", escape[0])
			}
		}
	}
	return check(text)
}

// encoding/json escapes more than JSON has to, and has no \b and \f. It writes \ufffd for bytes that are not UTF-8.
var (
	escapes = regexp.MustCompile(`\\(?:u2028|u2029|u0008|u000c|ufffd|.)`)
	spelled = map[string]string{`\u2028`: "\u2028", `\u2029`: "\u2029", `\u0008`: `\b`, `\u000c`: `\f`}
)

// encode gives a value in the one spelling that a writer has to use, as a line.
func encode(value any) ([]byte, error) {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	text := escapes.ReplaceAllFunc(line.Bytes(), func(escape []byte) []byte {
		if string(escape) == `\ufffd` {
			err = errors.New("not UTF-8")
		}
		if other, found := spelled[string(escape)]; found {
			return []byte(other)
		}
		return escape
	})
	return text, err
}
