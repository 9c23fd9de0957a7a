import java.util.Arrays;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/** Searches for patterns in Java. test_patterns.py describes input and output. */
class Search {
    static String decoded(String line) {
        var text = new StringBuilder();
        Arrays.stream(line.split(" ")).filter(each -> !each.isEmpty())
            .forEach(each -> text.appendCodePoint(Integer.parseInt(each, 16)));
        return text.toString();
    }

    public static void main(String[] arguments) throws java.io.IOException {
        var lines = new String(System.in.readAllBytes(), "US-ASCII").split("\n", -1);
        var decoded = Arrays.stream(lines, 1, lines.length - 1).map(Search::decoded).collect(Collectors.toList());
        int count = Integer.parseInt(lines[0]);
        List<String> texts = decoded.subList(count, decoded.size());
        for (var pattern : decoded.subList(0, count)) {
            var compiled = Pattern.compile(pattern);
            System.out.println(texts.stream()
                .map(text -> compiled.matcher(text).find() ? "1" : "0").collect(Collectors.joining()));
        }
    }
}
