# Judges JSON texts as json_schemer does, from Debian's ruby-json-schemer, which knows draft 7. judge.mjs says what is
# read and written.
require "json"
require "set"
require "json_schemer"

given = JSON.parse($stdin.read)
compiled = given["schemas"].transform_values { |schema| JSONSchemer.schema(schema) }

verdicts = given["texts"].map do |name, text|
  value = JSON.parse(text)
  compiled[name].valid?(value)
rescue StandardError
  nil
end

puts JSON.generate(verdicts)
