// Searches for patterns in Go, whose engine is RE2. test_patterns.py describes input and output.
package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
)

func decoded(line string) string {
	var text strings.Builder
	for _, each := range strings.Fields(line) {
		point, err := strconv.ParseUint(each, 16, 32)
		if err != nil {
			panic(err)
		}
		text.WriteRune(rune(point))
	}
	return text.String()
}

func main() {
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		panic(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(input), "\n"), "\n")
	count, err := strconv.Atoi(lines[0])
	if err != nil {
		panic(err)
	}
	var texts []string
	for _, line := range lines[1+count:] {
		texts = append(texts, decoded(line))
	}
	for _, line := range lines[1 : 1+count] {
		pattern := regexp.MustCompile(decoded(line))
		for _, text := range texts {
			if pattern.MatchString(text) {
				fmt.Print("1")
			} else {
				fmt.Print("0")
			}
		}
		fmt.Println()
	}
}
