# SPDX-License-Identifier: Apache-2.0
"""Runs test_report, the first argument, and reads the page that it leaves: well-formed HTML, with
every picture inside, described, and a real PNG."""
import base64
import html.parser
import pathlib
import subprocess
import sys
import tempfile
import unittest

VOID = {'meta', 'img'}


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.tags, self.ids, self.labels = [], [], [], []
        self.images, self.complaints = [], []

    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        attributes = dict(attributes)
        self.tags.append(tag)
        if len(names) != len(attributes):
            self.complaints.append(f'{self.getpos()}: <{tag}> has an attribute twice')
        if 'id' in attributes:
            self.ids.append(attributes['id'])
        self.labels += attributes.get('aria-labelledby', '').split()
        if tag == 'img':
            self.images.append(attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        if not {'svg', 'main'} <= set(self.open):
            self.complaints.append(f'{self.getpos()}: <{tag}/> outside of SVG')

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.complaints.append(f'{self.getpos()}: </{tag}> closes nothing')


class Report(unittest.TestCase):
    def test_page(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / 'report.html'
            subprocess.run([PROGRAM, path], check=True)
            text = path.read_text(encoding='utf-8')
        self.assertTrue(text.startswith('<!DOCTYPE html>'))
        page = Page()
        page.feed(text)
        page.close()
        self.assertEqual(page.complaints, [])
        self.assertEqual(page.open, [])
        self.assertEqual(len(page.ids), len(set(page.ids)))
        self.assertEqual(set(page.labels), set(page.ids))
        self.assertNotIn('script', page.tags)
        self.assertEqual(page.tags.count('h1'), 1)
        self.assertEqual(len(page.images), 22)
        for image in page.images:
            self.assertTrue(image['alt'])
            kind, _, data = image['src'].partition(',')
            self.assertEqual(kind, 'data:image/png;base64')
            png = base64.b64decode(data, validate=True)
            self.assertEqual(png[:8], b'\x89PNG\r\n\x1a\n')
            self.assertEqual(int.from_bytes(png[16:20], 'big'), int(image['width']))
            self.assertEqual(int.from_bytes(png[20:24], 'big'), int(image['height']))
            self.assertEqual(png[-8:-4], b'IEND')


if __name__ == '__main__':
    PROGRAM = sys.argv.pop(1)
    unittest.main()
