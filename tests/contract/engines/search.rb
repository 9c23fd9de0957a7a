# Searches for patterns in Ruby. test_patterns.py describes input and output.
count, *rest = STDIN.read.split("\n", -1)[..-2]
decoded = rest.map { |line| line.split.map(&:hex).pack("U*") }
patterns = decoded.take(count.to_i).map { |each| Regexp.new(each) }
texts = decoded.drop(count.to_i)
patterns.each { |pattern| puts texts.map { |text| pattern.match?(text) ? "1" : "0" }.join }
