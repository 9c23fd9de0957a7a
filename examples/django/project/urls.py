"""The two URLs of the project."""

from django.urls import path

from shop import views

urlpatterns = [path("history.jsonl", views.download), path("history/upload", views.upload)]
