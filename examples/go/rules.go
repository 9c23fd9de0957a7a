package history

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A rule gives a text as a writer has to write it, or says what is wrong with it.
type rule func(text string) (string, error)

var rules = map[string]rule{
	"version":      among("1.0"),
	"kind":         among(Kinds...),
	"catalog kind": among(catalogKinds...),
	"run kind":     among(runKinds...),
	"digest":       matching(`^[0-9a-f]{64}$`),
	"uuid":         lower(matching(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)),
	"any":          func(text string) (string, error) { return text, nil },
	"slug":         slug,
	"text":         text(math.MaxInt),
	"name":         text(200),
	"unit":         text(50),
	"cost":         decimal(6, 4),
	"quantity":     positive(decimal(7, 3)),
	"time":         instant,
}

func among(values ...string) rule {
	return func(text string) (string, error) {
		if !contains(values, text) {
			return "", fmt.Errorf("%q is none of %q", text, values)
		}
		return text, nil
	}
}

func matching(pattern string) rule {
	expression := regexp.MustCompile(pattern)
	return func(text string) (string, error) {
		if !expression.MatchString(text) {
			return "", fmt.Errorf("%.80q has another form", text)
		}
		return text, nil
	}
}

func lower(check rule) rule {
	return func(text string) (string, error) {
		text, err := check(text)
		return strings.ToLower(text), err
	}
}

func text(most int) rule {
	return func(text string) (string, error) {
		if strings.ContainsRune(text, 0) {
			return "", fmt.Errorf("NUL in the text")
		}
		if length := utf8.RuneCountInString(text); length > most {
			return "", fmt.Errorf("%d characters are more than %d", length, most)
		}
		return text, nil
	}
}

func slug(slug string) (string, error) {
	if slug == "" || strings.TrimSpace(slug) != slug || strings.IndexFunc(slug, unicode.IsControl) >= 0 {
		return "", fmt.Errorf("%.80q is no slug", slug)
	}
	return text(200)(slug)
}

// decimal pads: whoever compares or adds the digits finds as many in each value.
func decimal(before, after int) rule {
	expression := regexp.MustCompile(fmt.Sprintf(`^(0|[1-9][0-9]{0,%d})(?:\.([0-9]{1,%d})0*)?$`, before-1, after))
	return func(text string) (string, error) {
		parts := expression.FindStringSubmatch(text)
		if parts == nil {
			return "", fmt.Errorf("%.80q is no decimal of %d digits before the point and %d after it", text, before, after)
		}
		return parts[1] + "." + parts[2] + strings.Repeat("0", after-len(parts[2])), nil
	}
}

func positive(check rule) rule {
	return func(text string) (string, error) {
		text, err := check(text)
		if err == nil && strings.Trim(text, "0.") == "" {
			return "", fmt.Errorf("%s is not more than 0", text)
		}
		return text, err
	}
}

var timestamp = regexp.MustCompile(
	`^([1-9]\d{3})-\d\d-\d\dT([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)?$`)

func instant(text string) (string, error) {
	parts := timestamp.FindStringSubmatch(text)
	if parts == nil {
		return "", fmt.Errorf("%.80q is no timestamp", text)
	}
	zoned, first, last := text, "1000", "9998"
	if parts[4] == "" {
		zoned += "Z"
	} else if parts[4] != "Z" {
		first, last = "1001", "9997"
	}
	value, err := time.Parse(time.RFC3339Nano, zoned)
	if err != nil || parts[1] < first || parts[1] > last {
		return "", fmt.Errorf("%q is not in the calendar, or beyond the years %s to %s", text, first, last)
	}
	return Timestamp(value), nil
}

// Timestamp is a time as a writer has to write it.
func Timestamp(value time.Time) string {
	return strings.Replace(value.UTC().Format("2006-01-02T15:04:05.000000Z"), ".000000", "", 1)
}

// at is the time of a timestamp that a rule has passed. Texts do not compare: "…:00.5Z" is less than "…:00Z".
func at(timestamp string) time.Time {
	value, _ := time.Parse(time.RFC3339Nano, timestamp)
	return value
}

func contains(values []string, value string) bool {
	for _, one := range values {
		if one == value {
			return true
		}
	}
	return false
}
