using System;
using System.Linq;
using System.Text.RegularExpressions;

/// <summary>Searches for patterns in .NET. test_patterns.py describes input and output.</summary>
static class Search
{
    static string Decoded(string line)
    {
        var points = line.Split(new[] { ' ' }, StringSplitOptions.RemoveEmptyEntries);
        return string.Concat(points.Select(each => char.ConvertFromUtf32(Convert.ToInt32(each, 16))));
    }

    static void Main()
    {
        var lines = Console.In.ReadToEnd().Split('\n');
        var count = int.Parse(lines[0]);
        var decoded = lines.Skip(1).Take(lines.Length - 2).Select(Decoded).ToArray();
        foreach (var pattern in decoded.Take(count).Select(each => new Regex(each)))
            Console.WriteLine(string.Concat(decoded.Skip(count).Select(text => pattern.IsMatch(text) ? "1" : "0")));
    }
}
