// Judges JSON texts as gojsonschema does, from Debian's golang-github-xeipuuv-gojsonschema-dev, which knows draft 7.
// judge.mjs says what is read and written.
package main

import (
	"encoding/json"
	"os"

	"github.com/xeipuuv/gojsonschema"
)

// The verdict, or nil if there is none.
func judge(schema *gojsonschema.Schema, text string) (verdict *bool) {
	defer func() { recover() }()
	result, err := schema.Validate(gojsonschema.NewStringLoader(text))
	if err == nil {
		valid := result.Valid()
		verdict = &valid
	}
	return verdict
}

func main() {
	var given struct {
		Schemas map[string]any
		Texts   [][2]string
	}
	if err := json.NewDecoder(os.Stdin).Decode(&given); err != nil {
		panic(err)
	}
	compiled := map[string]*gojsonschema.Schema{}
	for name, schema := range given.Schemas {
		one, err := gojsonschema.NewSchema(gojsonschema.NewGoLoader(schema))
		if err != nil {
			panic(err)
		}
		compiled[name] = one
	}
	verdicts := []*bool{}
	for _, text := range given.Texts {
		verdicts = append(verdicts, judge(compiled[text[0]], text[1]))
	}
	json.NewEncoder(os.Stdout).Encode(verdicts)
}
