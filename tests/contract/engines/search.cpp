// Searches for patterns in C++: in bytes of UTF-8 if CHAR is char, in code points if it is wchar_t. test_patterns.py
// describes input and output.
#include <iostream>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

void append(std::wstring &text, unsigned long point) { text += static_cast<wchar_t>(point); }

void append(std::string &text, unsigned long point) {
    auto byte = [&](unsigned long bits) { text += static_cast<char>(bits); };
    auto rest = [&](int shift) { byte(0x80 | ((point >> shift) & 0x3f)); };
    if (point < 0x80) {
        byte(point);
    } else if (point < 0x800) {
        byte(0xc0 | point >> 6), rest(0);
    } else if (point < 0x10000) {
        byte(0xe0 | point >> 12), rest(6), rest(0);
    } else {
        byte(0xf0 | point >> 18), rest(12), rest(6), rest(0);
    }
}

int main() {
    std::string line;
    std::getline(std::cin, line);
    const auto count = std::stoul(line);
    std::vector<std::basic_string<CHAR>> decoded;
    while (std::getline(std::cin, line)) {
        std::istringstream points(line);
        decoded.emplace_back();
        for (unsigned long point; points >> std::hex >> point;) append(decoded.back(), point);
    }
    for (size_t place = 0; place < count; place++) {
        const std::basic_regex<CHAR> pattern(decoded[place]);
        for (size_t text = count; text < decoded.size(); text++)
            std::cout << std::regex_search(decoded[text], pattern);
        std::cout << "\n";
    }
}
